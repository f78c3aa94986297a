import * as z from 'zod';
import { DeployError } from '#core/errors';
import { accountName, readGroups, readUsers } from '#resources/accounts';
import { refuseOtherType } from '#resources/directory';
import { attributeChanges, readTextFile, type TextFile } from '#resources/file';
import { type Change, defineKind, type FileState, type Host } from '#resources/resource';

const BEGIN = '# Slipway begin: the lines up to "Slipway end" are replaced at every run';
const END = '# Slipway end';

// The type, then the blob, anywhere in the line, since options may come first (sshd(8), AUTHORIZED_KEYS).
const KEY = /(?:^|\s)((?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+\s+[A-Za-z0-9+/]+=*)(?=\s|$)/;

const props = z.strictObject({
  user: accountName,
  /** Public keys, each a line as in authorized_keys(5), options and comment included. */
  keys: z.array(
    z
      .string()
      .trim()
      .regex(KEY, 'a public key such as `ssh-ed25519 AAAA… name`')
      .regex(/^[^\n\r]*$/, 'a public key on one line'),
  ),
  /** Takes away every key that is not declared; otherwise keys that others put there stay. */
  exclusive: z.boolean().default(false),
});

type Props = z.output<typeof props>;

interface KeysState {
  readonly home: string;
  /** Name of the user's primary group. */
  readonly group: string;
  readonly directory: FileState | undefined;
  readonly file: TextFile | undefined;
}

interface Parts {
  readonly own: readonly string[];
  readonly foreign: readonly string[];
}

/** The lines that Slipway wrote, and all others. */
export function splitKeys(text: string): Parts {
  const own: string[] = [];
  const foreign: string[] = [];
  let inside = false;
  for (const line of text.split('\n')) {
    if (line === BEGIN) inside = true;
    else if (line === END) inside = false;
    else if (line.trim() !== '') (inside ? own : foreign).push(line);
  }
  return { own, foreign };
}

/** What identifies a key whatever its options and comment: its type and blob. */
export function keyIdentity(line: string): string | undefined {
  return /^\s*#/.test(line) ? undefined : KEY.exec(line)?.[1]?.replace(/\s+/, ' ');
}

function join(own: readonly string[], foreign: readonly string[]): string {
  const block = own.length === 0 ? [] : [BEGIN, ...own, END];
  const lines = [...foreign, ...block];
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

/** The text of authorized_keys as it should be, from what is there. */
export function wantedText(before: string, { keys, exclusive }: Pick<Props, 'keys' | 'exclusive'>): string {
  const foreign = exclusive ? [] : splitKeys(before).foreign;
  // A key with options is not the same as one without, so only a line that is equal makes ours superfluous.
  const lines = new Set(foreign.map((line) => line.trim()));
  return join(
    [...new Set(keys)].filter((key) => !lines.has(key)),
    foreign,
  );
}

async function read(host: Host, { user }: Props): Promise<KeysState | undefined> {
  const [users, groups] = await Promise.all([readUsers(host), readGroups(host)]);
  const found = users.get(user);
  if (found === undefined) return undefined;
  const directory = `${found.home}/.ssh`;
  return {
    home: found.home,
    group: [...groups.values()].find(({ gid }) => gid === found.gid)?.name ?? String(found.gid),
    directory: await host.stat(directory),
    file: await readTextFile(host, `${directory}/authorized_keys`),
  };
}

/** How a key is shown: by its comment, or by the end of its blob. */
function label(line: string): string {
  const blob = keyIdentity(line)?.split(' ')[1];
  if (blob === undefined) return line;
  const comment = line.slice(line.indexOf(blob) + blob.length).trim();
  return comment === '' ? `…${blob.slice(-12)}` : comment;
}

function keysOf(text: string): ReadonlySet<string> {
  return new Set(text.split('\n').filter((line) => keyIdentity(line) !== undefined));
}

function diff(state: KeysState | undefined, wanted: Props): readonly Change[] {
  if (state === undefined) return [{ summary: `authorize ${wanted.keys.length} key(s)` }];
  const before = state.file?.content ?? '';
  const after = wantedText(before, wanted);
  const changes: Change[] = [];
  const attributes = { owner: wanted.user, group: state.group };
  if (state.directory === undefined) changes.push({ summary: 'create .ssh' });
  else changes.push(...attributeChanges(state.directory, { ...attributes, mode: '0700' }, 'directory'));
  if (state.file === undefined) changes.push({ summary: 'create authorized_keys' });
  else changes.push(...attributeChanges(state.file, { ...attributes, mode: '0600' }, 'file'));
  const [had, has] = [keysOf(before), keysOf(after)];
  for (const key of has) if (!had.has(key)) changes.push({ summary: `authorize ${label(key)}` });
  for (const key of had) if (!has.has(key)) changes.push({ summary: `take away ${label(key)}` });
  if (before !== after && changes.length === 0) changes.push({ summary: 'order' });
  return changes;
}

async function apply(host: Host, wanted: Props, state: KeysState | undefined): Promise<void> {
  if (state === undefined) {
    throw new DeployError('account-missing', `There is no user ${wanted.user} whose keys could be set.`, {
      hint: 'Declare the user before its keys.',
    });
  }
  const directory = `${state.home}/.ssh`;
  refuseOtherType(directory, state.directory, 'directory');
  const owner = { owner: wanted.user, group: state.group };
  await host.must(['install', '-d', '-m', '0700', '-o', wanted.user, '-g', state.group, '--', directory]);
  const text = wantedText(state.file?.content ?? '', wanted);
  await host.writeFile(`${directory}/authorized_keys`, text, { ...owner, mode: '0600' });
}

async function remove(host: Host, footprint: Record<string, unknown>): Promise<void> {
  const user = footprint['user'] as string;
  const state = await read(host, { user, keys: [], exclusive: false });
  if (state?.file === undefined) return;
  const path = `${state.home}/.ssh/authorized_keys`;
  const left = join([], splitKeys(state.file.content).foreign);
  await host.removeFile(path);
  if (footprint['exclusive'] === true) return;
  // What was there before Slipway may have been taken away since: only what still was there stays.
  if (((await host.readFile(path)) ?? '') === left) return;
  await host.writeFile(path, left, { owner: user, group: state.group, mode: '0600' });
}

/** The SSH keys a user may log in with. */
export const authorizedKeysKind = defineKind({
  kind: 'authorized-keys',
  summary: 'The SSH keys a user may log in with; keys that others put there stay unless it is exclusive.',
  props,
  id: ({ user }) => user,
  read,
  diff,
  apply,
  footprint: ({ user, exclusive }) => ({ user, exclusive }),
  remove,
  guarded: true,
  preexisting: 'remove',
});
