import { existsSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import ssh2, { type ParsedKey, type SignCallback, type SigningRequestOptions } from 'ssh2';
import { DeployError } from '#core/errors';
import { hostKey } from '#ssh/known-hosts';

/** A key pair that may let us in: its public half, and a way to sign with the other. */
export interface Identity {
  /** As a person knows it: the file, or the agent and the key's comment. */
  readonly label: string;
  readonly fingerprint: string;
  readonly publicKey: ParsedKey;
  /** Whether a signature costs nobody anything: no passphrase to ask for, no token to touch. */
  readonly ready: boolean;
  sign(data: Buffer, hash: 'sha256' | 'sha512' | undefined): Promise<Buffer>;
}

export interface IdentityQuery {
  /** The files to use; the default ones where undefined. */
  readonly files: readonly string[] | undefined;
  /** Whether the files are what the person asked for, so that one that cannot be used is an error. */
  readonly named: boolean;
  /** Whether to offer nothing but the files' keys. */
  readonly only: boolean;
  /** The agent's socket, or false for none. */
  readonly agent: string | false;
  readonly passphrase?: ((file: string) => Promise<string>) | undefined;
}

interface AgentKeys {
  readonly keys: readonly ParsedKey[];
  readonly sign: Sign;
}
type Sign = (key: ParsedKey, data: Buffer, options: SigningRequestOptions) => Promise<Buffer>;

// ssh_config(5), IdentityFile, without the token-bound kinds, which need an agent here.
const DEFAULT_FILES = ['id_rsa', 'id_ecdsa', 'id_ed25519'];
const AGENT_DEADLINE = 3000;

/**
 * The identities to offer, in order: the named files' keys (signed for by the agent where it holds them), then the
 * agent's other keys, then the default files. Skipped default files are told in `passedOver`.
 */
export async function identities(query: IdentityQuery): Promise<{ offered: Identity[]; passedOver: string[] }> {
  const passedOver: string[] = [];
  const agent = await agentKeys(query, passedOver);
  const folder = join(homedir(), '.ssh');
  const files = query.files ?? DEFAULT_FILES.toReversed().map((name) => join(folder, name));
  const fromFiles: Identity[] = [];
  for (const file of files) {
    if (!existsSync(file) && !existsSync(`${file}.pub`) && !query.named) continue;
    try {
      fromFiles.push(await fromFile(file, agent, query));
    } catch (error) {
      if (query.named || !(error instanceof DeployError)) throw error;
      passedOver.push(error.message);
    }
  }
  if (query.only) return { offered: fromFiles, passedOver };
  const known = new Set(fromFiles.map((identity) => identity.fingerprint));
  const others = agent.keys.map((key) => fromAgent(key, agent)).filter((identity) => !known.has(identity.fingerprint));
  // A key that is both at hand and in the agent is the likeliest; a host allows few wrong ones.
  return { offered: [...fromFiles, ...others], passedOver };
}

function fromAgent(key: ParsedKey, agent: AgentKeys, file?: string): Identity {
  return {
    label: file ?? `agent key ${key.comment === '' ? key.type : key.comment}`,
    fingerprint: hostKey(key.getPublicSSH()).fingerprint,
    publicKey: key,
    ready: !key.type.startsWith('sk-'),
    sign: (data, hash) => agent.sign(key, data, hash === undefined ? {} : { hash }),
  };
}

async function fromFile(file: string, agent: AgentKeys, query: IdentityQuery): Promise<Identity> {
  const text = readKey(file);
  const open = text === undefined ? undefined : parsed(text);
  const publicKey = open instanceof Error || open === undefined ? publicHalf(file, text) : open;
  const held = publicKey && agent.keys.find((key) => key.getPublicSSH().equals(publicKey.getPublicSSH()));
  if (held !== undefined) return fromAgent(held, agent, file);
  if (text === undefined) {
    throw unusable(`${file} does not exist`, 'Correct the path, or load the key into the agent with ssh-add.');
  }
  if (open !== undefined && !(open instanceof Error)) return signedBy(file, open, true, async () => open);
  if (!/encrypted/i.test(open?.message ?? '')) {
    throw unusable(
      `${file} is no private key that can be read here: ${open?.message}`,
      `\`ssh-keygen -y -f ${file}\` tells whether OpenSSH can read it.`,
    );
  }
  const { passphrase } = query;
  if (passphrase === undefined) {
    throw unusable(
      `${file} is encrypted and nobody is here to give its passphrase`,
      `Load it into the agent: ssh-add ${file}`,
    );
  }
  const unlock = once(async () => {
    const key = parsed(text, await passphrase(file));
    if (!(key instanceof Error)) return key;
    throw unusable(
      `the passphrase does not open ${file}`,
      'Run the command again and type the passphrase of this key.',
    );
  });
  // An old PEM file without its .pub does not even tell its public half.
  return signedBy(file, publicKey ?? (await unlock()), false, unlock);
}

function signedBy(file: string, publicKey: ParsedKey, ready: boolean, unlock: () => Promise<ParsedKey>): Identity {
  return {
    label: file,
    fingerprint: hostKey(publicKey.getPublicSSH()).fingerprint,
    publicKey,
    ready,
    sign: async (data, hash) => {
      const signature: unknown = (await unlock()).sign(data, hash);
      if (Buffer.isBuffer(signature)) return signature;
      throw signature instanceof Error ? signature : new Error(`${file} cannot sign`);
    },
  };
}

function readKey(file: string): string | undefined {
  try {
    const { mode, uid } = statSync(file);
    // The rule of ssh(1): a private key that others may read is not used.
    if ((mode & 0o077) !== 0 && uid === process.getuid?.()) {
      const octal = (mode & 0o777).toString(8).padStart(4, '0');
      throw unusable(`${file} can be read by others (mode ${octal})`, `Close it: chmod 600 ${file}`);
    }
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof DeployError) throw error;
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw unusable(
      `${file} cannot be read: ${(error as Error).message}`,
      `Make ${file} readable for you alone: chmod 600 ${file}`,
    );
  }
}

function parsed(text: string, passphrase?: string): ParsedKey | Error {
  const key = ssh2.utils.parseKey(text, passphrase);
  const one = Array.isArray(key) ? key[0] : key;
  if (one instanceof Error) return one;
  return one?.isPrivateKey() ? one : new Error('it holds no private key');
}

/** The public half of a private key file: from the `.pub` beside it, or from the clear part of OpenSSH's own format. */
function publicHalf(file: string, text: string | undefined): ParsedKey | undefined {
  const beside = existsSync(`${file}.pub`) ? readFileSync(`${file}.pub`, 'utf8') : undefined;
  const source = beside ?? clearPart(text ?? '');
  if (source === undefined) return undefined;
  const key = ssh2.utils.parseKey(source);
  const one = Array.isArray(key) ? key[0] : key;
  return one instanceof Error ? undefined : one;
}

// The format is OpenSSH's PROTOCOL.key: magic, cipher, kdf, its options, a count, the public key.
function clearPart(text: string): string | undefined {
  const body = /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]+?)-----END/.exec(text)?.[1];
  if (body === undefined) return undefined;
  const data = Buffer.from(body, 'base64');
  try {
    let at = 'openssh-key-v1\0'.length;
    for (let skipped = 0; skipped < 3; skipped += 1) at += 4 + data.readUInt32BE(at);
    at += 4;
    const blob = data.subarray(at + 4, at + 4 + data.readUInt32BE(at));
    return `${hostKey(blob).type} ${blob.toString('base64')}`;
  } catch {
    return undefined;
  }
}

async function agentKeys(query: IdentityQuery, passedOver: string[]): Promise<AgentKeys> {
  const socket = query.agent;
  if (socket === false) return { keys: [], sign: async () => Promise.reject(new Error('there is no agent')) };
  const agent = ssh2.createAgent(socket);
  const sign: Sign = (key, data, options) =>
    new Promise((resolve, reject) => {
      const done: SignCallback = (error, signature) => {
        if (signature === undefined) reject(error ?? new Error('the agent does not sign'));
        else resolve(signature);
      };
      agent.sign(key, data, options, done);
    });
  const listed = new Promise<ParsedKey[]>((resolve) => {
    // An agent that hangs (a forwarded one whose other end is gone) must not hold up everything else.
    const timer = setTimeout(() => {
      passedOver.push(`the agent at ${socket} does not answer`);
      resolve([]);
    }, AGENT_DEADLINE);
    agent.getIdentities((error, keys) => {
      clearTimeout(timer);
      if (error) passedOver.push(`the agent at ${socket} cannot be asked: ${error.message}`);
      const all = ((keys ?? []) as ParsedKey[]).map((key) => ssh2.utils.parseKey(key));
      resolve(all.flat().filter((key): key is ParsedKey => !(key instanceof Error)));
    });
  });
  return { keys: await listed, sign };
}

function once<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= work();
    return result;
  };
}

function unusable(message: string, hint: string): DeployError {
  return new DeployError('key-unusable', message, { hint });
}
