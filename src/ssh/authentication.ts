import ssh2, { type AnyAuthMethod, type AuthHandlerMiddleware, type ParsedKey, type SignCallback } from 'ssh2';
import { DeployError } from '#core/errors';
import type { Identity } from '#ssh/identity';

export interface Attempt {
  readonly host: string;
  readonly user: string;
  readonly address: string;
  readonly identities: Promise<{ offered: readonly Identity[]; passedOver: readonly string[] }>;
  /** Asks a person; undefined where nobody can answer. */
  readonly ask: ((question: string) => Promise<string>) | undefined;
  /** Called before a key is offered, with its place in the order. */
  offering(identity: Identity, place: number): void;
  /** Called when a key's signature has been sent. */
  signed(): void;
  /** Ends the attempt with an error. */
  fail(error: unknown): void;
}

export interface Authentication {
  readonly handler: AuthHandlerMiddleware;
  /** What the host has said it takes; tells apart a full refusal from one step of several. */
  refused(accepted: readonly string[], partly: boolean): void;
  /** The error that says what was tried, what the host takes and what to do. */
  failure(reason?: string): DeployError;
}

/** Goes through keys, then the password, the way OpenSSH does, with as few refusals as it can. */
export function authentication(attempt: Attempt): Authentication {
  const tried: string[] = [];
  let passedOver: readonly string[] = [];
  let accepted: readonly string[] | undefined;
  let next = 0;
  let asked = false;
  let questioned: string | undefined;
  const takes = (method: string) => accepted === undefined || accepted.includes(method);

  async function step(): Promise<AnyAuthMethod | false> {
    const known = await attempt.identities;
    passedOver = known.passedOver;
    const identity = known.offered[next];
    if (identity !== undefined && takes('publickey')) {
      attempt.offering(identity, next);
      next += 1;
      tried.push(`${identity.label} (${identity.fingerprint})`);
      return { type: 'agent', username: attempt.user, agent: new OneKey(identity, attempt) };
    }
    // Nothing was refused yet, so the host has not said what it takes.
    if (accepted === undefined) return { type: 'none', username: attempt.user };
    if (attempt.ask === undefined || asked) return false;
    const { ask } = attempt;
    if (takes('password')) {
      asked = true;
      tried.push('a password');
      const password = await ask(`Password of ${attempt.user}@${attempt.address}: `);
      return { type: 'password', username: attempt.user, password };
    }
    if (!takes('keyboard-interactive')) return false;
    asked = true;
    tried.push('answers to the questions of the host');
    return { type: 'keyboard-interactive', username: attempt.user, prompt: answer(ask) };
  }

  function answer(ask: (question: string) => Promise<string>) {
    return (
      _name: string,
      _text: string,
      _lang: string,
      prompts: { prompt: string }[],
      finish: (a: string[]) => void,
    ) => {
      const each = async () => {
        const answers: string[] = [];
        for (const { prompt } of prompts) {
          questioned = prompt.trim();
          answers.push(await ask(`${attempt.user}@${attempt.address}: ${prompt}`));
        }
        finish(answers);
      };
      each().catch(attempt.fail);
    };
  }

  function failure(reason?: string): DeployError {
    const who = `${attempt.user}@${attempt.address}`;
    const offered = tried.length === 0 ? 'there was nothing to offer' : `offered: ${tried.join(', ')}`;
    const takesWhat = accepted === undefined ? '' : `; the host takes ${accepted.join(', ') || 'nothing'}`;
    const others = passedOver.length === 0 ? '' : `; passed over: ${passedOver.join('; ')}`;
    const why = reason === undefined ? '' : ` (${reason})`;
    return new DeployError('authentication-failed', `${who} was refused${why}: ${offered}${takesWhat}${others}`, {
      hint: hint(reason),
      host: attempt.host,
    });
  }

  function hint(reason: string | undefined): string {
    const { user, address } = attempt;
    if (reason !== undefined && /too many/i.test(reason)) {
      return `Name the one right key, so that no other is offered: identityFile of ${attempt.host} in the inventory, or IdentityFile with IdentitiesOnly yes in ~/.ssh/config.`;
    }
    if (asked) {
      return questioned === undefined || /passw/i.test(questioned)
        ? `Check the user name and the password; \`ssh ${user}@${address}\` must let you in with them.`
        : `The host asked "${questioned}"; check the answer with \`ssh ${user}@${address}\`.`;
    }
    const password = accepted?.some((method) => method === 'password' || method === 'keyboard-interactive') === true;
    if (password && attempt.ask === undefined) {
      return 'The host takes a password: run the same command with --ask-password, or add your key to the host first.';
    }
    return `Add your public key to ~/.ssh/authorized_keys of ${user} on the host (ssh-copy-id ${user}@${address}), or name the right key with identityFile in the inventory.`;
  }

  return {
    handler: (left, _partly, go) => {
      // null stands for "not asked yet" in ssh2.
      if (Array.isArray(left)) accepted = left;
      step().then(go as (method: AnyAuthMethod | false) => void, attempt.fail);
    },
    refused: (left, partly) => {
      accepted = left;
      if (partly) tried[tried.length - 1] += ', which was taken as a first step';
    },
    failure,
  };
}

/** One identity in the shape of an agent, which is the shape in which ssh2 takes its time for a signature. */
class OneKey extends ssh2.BaseAgent<ParsedKey> {
  readonly #identity: Identity;
  readonly #attempt: Attempt;

  constructor(identity: Identity, attempt: Attempt) {
    super();
    this.#identity = identity;
    this.#attempt = attempt;
  }

  override getIdentities(done: (error: undefined, keys: ParsedKey[]) => void): void {
    done(undefined, [this.#identity.publicKey]);
  }

  override sign(_key: ParsedKey, data: Buffer, options: unknown, done?: SignCallback): void {
    const reply = (typeof options === 'function' ? options : done) as SignCallback;
    const { hash } = (typeof options === 'object' ? options : {}) as { hash?: 'sha256' | 'sha512' };
    this.#identity.sign(data, hash).then((signature) => {
      reply(null, signature);
      this.#attempt.signed();
    }, this.#attempt.fail);
  }
}
