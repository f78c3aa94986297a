import * as z from 'zod';
import { DeployError } from '#core/errors';
import { lastLines } from '#core/run';
import { readTextFile, type TextFile, textFileChanges } from '#resources/file';
import { type Change, defineKind, type Host } from '#resources/resource';
import { cannotSet, isFinal, normalValue, parseAssignments, procPath } from '#resources/sysctl-keys';

const ATTRIBUTES = { owner: 'root', group: 'root', mode: '0644' };
// ufw applies a file of its own whenever it starts, after everybody else's (its header says so).
const UFW = '/etc/ufw/sysctl.conf';
const BEFORE = '# before Slipway: ';

const props = z.strictObject({
  /** Files are read in the order of names, and the last value counts: `99-zz-…` comes after /etc/sysctl.conf. */
  name: z
    .string()
    .regex(/^\d\d-[a-z0-9-]+$/, 'such as `99-zz-slipway`')
    .default('99-zz-slipway'),
  values: z.record(
    z.string().regex(/^[a-z0-9_]+([./][A-Za-z0-9_.:-]+)+$/, 'a key such as `net.ipv4.tcp_syncookies`'),
    z.union([z.string().regex(/^[^\n]+$/), z.number()]),
  ),
});

type Props = z.output<typeof props>;

interface SysctlState {
  readonly file: TextFile | undefined;
  /** Values in effect, by key, of those that this machine may set. */
  readonly live: Readonly<Record<string, string>>;
  readonly ufw: string | undefined;
  /** Keys that this machine may not set. */
  readonly skipped: readonly string[];
}

function pathOf(name: string): string {
  return `/etc/sysctl.d/${name}.conf`;
}

async function read(host: Host, { name, values }: Props): Promise<SysctlState | undefined> {
  const live: Record<string, string> = {};
  const skipped: string[] = [];
  const keys = Object.keys(values).map(async (key) => {
    const path = procPath(key);
    if (await cannotSet(host, path)) skipped.push(key);
    else live[key] = normalValue((await host.readFile(path)) ?? '');
  });
  const [file, ufw] = await Promise.all([readTextFile(host, pathOf(name)), host.readFile(UFW), ...keys]);
  return { file, live, ufw, skipped: skipped.sort() };
}

/** What ufw's own file should say, so that it does not undo declared values; undefined where nothing has to change. */
export function ufwText(text: string, values: Props['values']): string | undefined {
  const wanted = new Map(Object.entries(values).map(([key, value]) => [procPath(key), normalValue(value)]));
  const lines = text.split('\n').map((line) => {
    const [[path, value] = []] = parseAssignments(line);
    const should = path === undefined ? undefined : wanted.get(path);
    return should === undefined || should === value ? line : line.replace(/=.*$/, `=${should}`);
  });
  const after = lines.join('\n');
  return after === text ? undefined : after;
}

function contentOf(values: Props['values']): string {
  return `${Object.entries(values)
    .map(([key, value]) => `${key} = ${normalValue(value)}`)
    .join('\n')}\n`;
}

/** What the values were before, as the file itself remembers them. */
export function rememberedValues(text: string): ReadonlyMap<string, string> {
  const lines = text.split('\n').filter((line) => line.startsWith(BEFORE));
  return parseAssignments(lines.map((line) => line.slice(BEFORE.length)).join('\n'));
}

function withoutMemory(file: TextFile | undefined): TextFile | undefined {
  if (file === undefined) return undefined;
  const lines = file.content.split('\n').filter((line) => !line.startsWith(BEFORE));
  return { ...file, content: lines.join('\n') };
}

function diff(state: SysctlState | undefined, { values }: Props): readonly Change[] {
  const changes = [...textFileChanges(withoutMemory(state?.file), { content: contentOf(values), ...ATTRIBUTES })];
  for (const [key, value] of Object.entries(values)) {
    const now = state?.live[key];
    if (now === undefined || now === normalValue(value) || isFinal(procPath(key), now)) continue;
    changes.push({ summary: `${key} ${now} -> ${value}` });
  }
  if (state?.ufw !== undefined && ufwText(state.ufw, values) !== undefined) {
    changes.push({ summary: `${UFW} would set other values at its next start` });
  }
  return changes;
}

async function set(host: Host, path: string, value: string): Promise<void> {
  const output = await host.run(['tee', path], { input: `${value}\n` });
  if (output.exitCode === 0) return;
  throw new DeployError('sysctl-refused', `The kernel refuses ${path} = ${value}: ${lastLines(output, 1)}`, {
    hint: 'Correct the value, or leave it out for this host.',
  });
}

function tellSkipped(host: Host, keys: readonly string[]): void {
  if (keys.length === 0) return;
  const why = host.facts.container ? 'a container may not set them' : 'its kernel does not have them';
  host.warn(`Kernel values left as they are, since ${why}: ${keys.join(', ')}`);
}

/** Gives values back that are no longer declared, where they still are what our file said. */
async function setBack(host: Host, text: string, declared: ReadonlySet<string>): Promise<void> {
  const ours = parseAssignments(text);
  for (const [path, value] of rememberedValues(text)) {
    if (declared.has(path)) continue;
    const now = await host.readFile(path);
    const isOurs = now !== undefined && normalValue(now) === ours.get(path) && !isFinal(path, normalValue(now));
    if (isOurs && !(await cannotSet(host, path))) await set(host, path, value);
  }
}

async function apply(host: Host, { name, values }: Props, state: SysctlState | undefined): Promise<void> {
  tellSkipped(host, state?.skipped ?? []);
  const before = new Map(rememberedValues(state?.file?.content ?? ''));
  for (const [key, value] of Object.entries(state?.live ?? {})) {
    const path = procPath(key);
    if (!before.has(path)) before.set(path, value);
  }
  const memory = Object.keys(values).flatMap((key) => {
    const value = before.get(procPath(key));
    return value === undefined ? [] : [`${BEFORE}${key} = ${value}\n`];
  });
  await host.writeFile(pathOf(name), memory.join('') + contentOf(values), ATTRIBUTES);
  const ufw = state?.ufw === undefined ? undefined : ufwText(state.ufw, values);
  if (ufw !== undefined) await host.writeFile(UFW, ufw, ATTRIBUTES);
  for (const [key, value] of Object.entries(values)) {
    const now = state?.live[key];
    if (now === undefined || now === normalValue(value)) continue;
    if (isFinal(procPath(key), now)) host.warn(`${key} stays ${now} until the next boot.`);
    else await set(host, procPath(key), normalValue(value));
  }
  await setBack(host, state?.file?.content ?? '', new Set(Object.keys(values).map(procPath)));
}

async function remove(host: Host, footprint: Record<string, unknown>): Promise<void> {
  const path = pathOf(footprint['name'] as string);
  const text = await host.readFile(path);
  if (text === undefined) return;
  const ours = parseAssignments(text);
  const ufw = await host.readFile(UFW);
  const undone = [...parseAssignments(ufw ?? '')].some(([key, value]) => ours.get(key) === value);
  await host.removeFile(path);
  if (undone) await host.removeFile(UFW);
  await setBack(host, text, new Set());
}

/** Values of the kernel, now and after a reboot. */
export const sysctlKind = defineKind({
  kind: 'sysctl',
  summary: 'Values of the kernel, now and after a reboot; those a container may not set are left out and told.',
  props,
  id: ({ name }) => name,
  read,
  diff,
  apply,
  footprint: ({ name }) => ({ name }),
  remove,
  preexisting: 'remove',
});
