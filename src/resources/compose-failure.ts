import type { ErrorCode } from '#core/error-codes';
import { type DeployError, DeployError as Failure } from '#core/errors';

interface Explanation {
  readonly code: ErrorCode;
  readonly pattern: RegExp;
  readonly message: (match: RegExpExecArray) => string;
  readonly hint: string;
}

// Most telling first: what the engine, the registry and the kernel say, as seen with Docker 20.10 to 28.
const EXPLANATIONS: readonly Explanation[] = [
  {
    code: 'disk-full',
    pattern: /no space left on device/i,
    message: () => 'The disk of the host is full.',
    hint: 'Make room: `df -h`, `docker system df` and `docker image prune` on the host.',
  },
  {
    code: 'port-taken',
    pattern:
      /(?:bind for|listen tcp\d?|failed to bind host port for) \S*?:(\d+)[^\n]*(?:already allocated|already in use)/i,
    message: ([, port]) => `Port ${port} of the host is already taken.`,
    hint: 'Find its owner with `ss -ltnp` and `docker ps` on the host; stop it or choose another port.',
  },
  {
    code: 'image-unauthorized',
    pattern:
      /unauthorized|authentication required|no basic auth credentials|pull access denied|requested access to the resource is denied|: denied/i,
    message: () => 'The registry does not give the image to this host.',
    hint: 'Give its user name and password under docker.registries, and check the name of the image.',
  },
  {
    code: 'image-not-found',
    pattern:
      /manifest (?:for (\S+) )?(?:unknown|not found)|(\S+): not found|no such image: (\S+)|repository does not exist/i,
    message: ([, manifest, named, local]) =>
      `There is no image ${[manifest, named, local].find((name) => name !== undefined) ?? 'of that name'} in the registry.`,
    hint: 'Check its name and tag, and that it was pushed for this kind of processor.',
  },
  {
    code: 'registry-unreachable',
    pattern:
      /no such host|server misbehaving|connection refused|i\/o timeout|tls handshake timeout|network is unreachable|no route to host|x509:|: EOF$|connection reset by peer|client\.timeout exceeded|request canceled|toomanyrequests/i,
    message: ([said]) => `The registry cannot be reached from the host (${said}).`,
    hint: 'Check the name of the registry, and DNS and the way out on the host; then run the same command again.',
  },
  {
    code: 'compose-invalid',
    pattern: /network (\S+) (?:declared as external, but could not be|not) found/i,
    message: ([, network]) => `The Docker network ${network} does not exist.`,
    hint: 'Declare it, or correct its name in the Compose file.',
  },
];

/** What a failed pull or start means, from what Compose said; undefined where it says nothing we know. */
export function explainCompose(project: string, thrown: DeployError): DeployError | undefined {
  for (const { code, pattern, message, hint } of EXPLANATIONS) {
    const match = pattern.exec(thrown.message);
    if (match === null) continue;
    const line = thrown.message
      .split('\n')
      .findLast((said) => pattern.test(said))
      ?.trim();
    return new Failure(code, `${project}: ${message(match)}${line === undefined ? '' : `\n${line}`}`, {
      hint,
      cause: thrown,
    });
  }
  return undefined;
}
