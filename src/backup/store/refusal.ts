import { BrokenCopy } from '#backup/seal';
import { DeployError } from '#core/errors';
import { redactor } from '#core/redact';
import { lastLines, type Output } from '#core/run';
import type { Repository } from '#protocol/backup';
import { serverOf } from './repository.ts';
import type { Login } from './ssh.ts';

/** What a repository says that lets nobody delete: an append-only server, a locked bucket, a folder not ours. */
export const NO_RIGHT = /\b403\b|forbidden|access ?denied|permission denied(?! \()|append[- ]only|not permitted|worm/i;

/** What programs say of a repository, and the next thing to do about it. The first that fits is taken. */
const SAID: readonly (readonly [RegExp, (login: Login | undefined) => string])[] = [
  [
    /permission denied \(|no supported methods remain|unable to authenticate/i,
    (login) =>
      `Authorise this key for that user on the server (in its authorized_keys): ${login?.publicKey ?? 'the one declared'}`,
  ],
  [
    /host key verification failed|identification has changed|no matching host key|host key for .* has changed/i,
    (login) =>
      `The server shows another key than the one pinned in ${login?.knownHosts ?? 'known_hosts'}. Where that is right (it was installed anew), declare it as \`backups.hostKey\`, or remove that file on the host.`,
  ],
  [
    /unable to start the sftp session/i,
    (login) => `See that the server is up and lets this key in: ${login?.publicKey ?? 'the one declared'}`,
  ],
  [
    /x509|certificate|tls: /i,
    () => 'Declare the authority that signed its certificate as `backups.ca`, or let the server renew it.',
  ],
  [
    /\b401\b|\b403\b|unauthorized|forbidden|access ?denied|InvalidAccessKey|SignatureDoesNotMatch/i,
    () => 'Check `backups.credentials`, and what the server lets them do.',
  ],
  [
    /no space left|disk full|quota|\b507\b|insufficient storage/i,
    () => 'Make room there; nothing is lost meanwhile, and what is missing is sent with the next run.',
  ],
  [/NoSuchBucket|bucket does not exist/i, () => 'Make the bucket, then run the same command again.'],
  [
    /timed? ?out|deadline exceeded|connection (?:refused|reset|closed)|no route to host|unreachable|no such host|could not resolve|EOF|broken pipe|\b50[0-9]\b|internal ?error/i,
    () =>
      'See that the server is up and answers this host; nothing is lost meanwhile, and what is missing is sent with the next run.',
  ],
];

const OTHERWISE = 'Look at what the repository says; `deploy backup status` tells what is still there.';

/** restic's words for a file of its repository without which it opens nothing. */
const DAMAGED =
  /LoadRaw\(<(?<type>\w+)\/(?<id>[0-9a-f]+)>\): invalid data|(?<either>config or key [0-9a-f]+) is damaged/;

/** What restic means by its exit codes (its manual, "Exit codes"). */
export const RESTIC_EXIT = { noRepository: 10, locked: 11, wrongKey: 12 } as const;

/** restic's last line as it is where it was asked for JSON. */
function inWords(lines: string): string {
  return lines
    .split('\n')
    .map((line) => {
      if (!line.startsWith('{"message_type":"exit_error"')) return line;
      return (JSON.parse(line) as { readonly message: string }).message;
    })
    .join('\n');
}

const INSTALL = 'Put the copy of the key there with `deploy backup key install <environment>`.';

/** A failure of a repository, with its last words, the next thing to do, and no secret in it. */
export function refusalOf(what: string, output: Output, repository: Repository, login: Login | undefined): DeployError {
  const server = serverOf(repository);
  const { exitCode, timedOut, argv } = output;
  if (argv[0] === 'restic' && exitCode === RESTIC_EXIT.wrongKey) return foreignKey(repository);
  if (argv[0] === 'restic' && exitCode === RESTIC_EXIT.noRepository) {
    return new DeployError('repository-failed', `${what} ${server} failed: there is none.`, {
      hint: 'Run `deploy up <environment>`, which makes it; look at the address where there should be one.',
    });
  }
  const refused = keyRefusal(output);
  if (refused !== undefined) return refused;
  const damaged = argv[0] === 'restic' ? DAMAGED.exec(inWords(output.stderr))?.groups : undefined;
  if (damaged !== undefined) {
    const file = damaged.either ?? `${damaged.type} ${damaged.id}`;
    return new BrokenCopy(file, 'changed', `${what} ${server} failed: ${file} of its restic repository is damaged.`);
  }
  const words = redactor(Object.values(repository.credentials))(inWords(lastLines(output)));
  const how = timedOut ? 'did not end in time, the server does not answer' : `failed (exit ${exitCode ?? 'unknown'})`;
  const hint = timedOut
    ? 'See that the server answers this host; nothing is lost meanwhile, and what is missing is sent with the next run.'
    : SAID.find(([said]) => said.test(words))?.[1](login);
  return new DeployError('repository-failed', `${what} ${server} ${how}${words === '' ? '.' : `:\n${words}`}`, {
    hint: hint ?? OTHERWISE,
  });
}

/** What is the matter with the host's key, where that is why restic failed. */
export function keyRefusal({ argv, exitCode, stderr }: Output): DeployError | undefined {
  if (argv[0] !== 'restic') return undefined;
  if (exitCode === RESTIC_EXIT.wrongKey) {
    return new DeployError('key-refused', "The repository holds backups that this host's key does not open.", {
      hint: INSTALL,
    });
  }
  if (!stderr.includes('Resolving password failed')) return undefined;
  return new DeployError('key-refused', 'The key of the backups is not on this host.', { hint: INSTALL });
}

/** A repository that is there, and that the key of this host does not open. */
export function foreignKey(repository: Repository): DeployError {
  return new DeployError('key-refused', `${serverOf(repository)} holds backups that this host's key does not open.`, {
    hint: 'Put the copy of their key here with `deploy backup key install <environment>`, or take another `backups.repository` for this host.',
  });
}
