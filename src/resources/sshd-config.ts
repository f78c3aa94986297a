import * as z from 'zod';
import { DeployError } from '#core/errors';
import { lastLines, type Output } from '#core/run';
import { readTextFile, type TextFile, textFileChanges } from '#resources/file';
import { type Change, defineKind, type Host } from '#resources/resource';
import { forget, recall, remember, type Wanted } from '#resources/sshd-memory';
import { firstToSet, parseEffective, renderOptions, type SshdValue, unknownOptions } from '#resources/sshd-options';

const MAIN = '/etc/ssh/sshd_config';
const DIRECTORY = '/etc/ssh/sshd_config.d';
const CANDIDATES = '/run/slipway/sshd';
const ATTRIBUTES = { owner: 'root', group: 'root', mode: '0600' };
const INCLUDE = /^[ \t]*Include[ \t=]+"?\/etc\/ssh\/sshd_config\.d\/\*\.conf"?[ \t]*$/im;

const value = z.union([z.string().regex(/^[^\n]+$/), z.number(), z.boolean(), z.array(z.string().min(1)).min(1)]);
const settings = z.record(z.string().regex(/^[A-Z][A-Za-z0-9]+$/, 'an option as sshd_config(5) spells it'), value);

const props = z.strictObject({
  /** sshd takes the first value it reads, in the order of names: `00-…` comes before what images bring. */
  name: z
    .string()
    .regex(/^[A-Za-z0-9_-]+$/)
    .default('00-slipway'),
  /** As sshd_config(5) spells them; a list of algorithms is cut to those the host has. */
  settings,
  /** Settings left out where the host's sshd does not know them. */
  ifKnown: settings.default({}),
});

type Props = z.output<typeof props>;

interface Difference {
  readonly option: string;
  readonly effective: string;
  readonly wanted: string;
  /** The file that sets it first, where it is not ours. */
  readonly from: string | undefined;
}

interface SshdState {
  readonly file: TextFile | undefined;
  /** What the file should say on this host. */
  readonly content: string;
  readonly differences: readonly Difference[];
}

async function sshd(host: Host, argv: readonly string[]): Promise<Output> {
  // Where ssh.socket waits and nobody has logged in yet, the directory is missing and sshd refuses to check anything.
  await host.once('/run/sshd', async () => {
    if ((await host.stat('/run/sshd')) === undefined) await host.run(['install', '-d', '-m', '0755', '/run/sshd']);
  });
  return host.run(['/usr/sbin/sshd', ...argv]);
}

/** What sshd makes of these lines alone; given as options, since it reads no configuration from a pipe. */
function alone(host: Host, content: string): Promise<Output> {
  const options = content.split('\n').filter((line) => line !== '');
  return sshd(host, ['-T', '-f', '/dev/null', ...options.flatMap((line) => ['-o', line])]);
}

function invalid(name: string, output: Output): DeployError {
  return new DeployError('sshd-invalid', `sshd refuses ${name}: ${lastLines(output)}`, {
    hint: 'Correct what it names; what is live was not changed.',
  });
}

/** The file for this host and what sshd makes of it alone, so that the comparison is in sshd's own words. */
async function wantedOn(host: Host, { name, settings, ifKnown }: Props): Promise<Wanted> {
  let options: Readonly<Record<string, SshdValue>> = { ...settings, ...ifKnown };
  let content = await renderOptions(host, options);
  let output = await alone(host, content);
  const unknown = unknownOptions(`${output.stdout}\n${output.stderr}`);
  if (output.exitCode !== 0 && Object.keys(ifKnown).some((option) => unknown.has(option.toLowerCase()))) {
    const drop = (option: string) => option in ifKnown && unknown.has(option.toLowerCase());
    options = Object.fromEntries(Object.entries(options).filter(([option]) => !drop(option)));
    content = await renderOptions(host, options);
    output = await alone(host, content);
  }
  if (output.exitCode !== 0) throw invalid(name, output);
  const all = parseEffective(output.stdout);
  const own = Object.keys(options).map((option) => option.toLowerCase());
  return { content, effective: new Map(own.map((option) => [option, all.get(option) ?? ''])) };
}

/** All files of the live configuration in the order sshd reads them, ours with another content where one is given. */
async function inOrder(
  host: Host,
  own: string,
  content?: string,
): Promise<readonly { path: string; content: string }[]> {
  const main = (await host.readFile(MAIN)) ?? '';
  const names = (await host.list(DIRECTORY)).filter((name) => name.endsWith('.conf') && `${DIRECTORY}/${name}` !== own);
  const files = await Promise.all(
    names.map(async (name) => {
      const path = `${DIRECTORY}/${name}`;
      return { path, content: (await host.readFile(path)) ?? '' };
    }),
  );
  const ours = content ?? (await host.readFile(own));
  if (ours !== undefined) files.push({ path: own, content: ours });
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  const at = INCLUDE.exec(main)?.index ?? main.length;
  return [{ path: MAIN, content: main.slice(0, at) }, ...files, { path: MAIN, content: main.slice(at) }];
}

async function differences(host: Host, own: string, wanted: Wanted, said: string): Promise<readonly Difference[]> {
  const effective = parseEffective(said);
  // Debian 12's sshd knows DebianBanner and does not print it: what it keeps to itself is '' on both sides.
  const different = [...wanted.effective].filter(([option, should]) => (effective.get(option) ?? '') !== should);
  if (different.length === 0) return [];
  const files = await inOrder(host, own, wanted.content);
  return different.map(([option, should]) => {
    const from = firstToSet(option, files);
    const is = effective.get(option) ?? 'unset';
    return { option, effective: is, wanted: should, from: from === own ? undefined : from };
  });
}

async function read(host: Host, wanted: Props): Promise<SshdState | undefined> {
  const path = `${DIRECTORY}/${wanted.name}.conf`;
  if ((await host.stat('/usr/sbin/sshd')) === undefined) return undefined;
  const [file, known, effective] = await Promise.all([
    readTextFile(host, path),
    recall(host, wanted),
    host.once('sshd -T', () => sshd(host, ['-T'])),
  ]);
  const stateOf = async (own: Wanted) => {
    return { file, content: own.content, differences: await differences(host, path, own, effective.stdout) };
  };
  const remembered = known === undefined ? undefined : await stateOf(known);
  // Memory may say that nothing has to be done; what has to be done, only sshd itself may say.
  if (remembered !== undefined && diff(remembered).length === 0) return remembered;
  return stateOf(await wantedOn(host, wanted));
}

function oneLine(text: string): string {
  return text.replaceAll('\n', ' ');
}

function diff(state: SshdState | undefined): readonly Change[] {
  if (state === undefined) return [{ summary: 'create' }];
  const file = textFileChanges(state.file, { content: state.content, ...ATTRIBUTES });
  // Where the file is about to change, only what other files say needs saying besides.
  const unexplained = state.differences.filter(({ from }) => file.length === 0 || from !== undefined);
  const effective = unexplained.map(({ option, effective, wanted, from }) => {
    const where = from === undefined ? '' : ` (set by ${from})`;
    return { summary: `${option}: ${oneLine(effective)}${where} -> ${oneLine(wanted)}` };
  });
  return [...file, ...effective];
}

/** The main file with its Include spelt out, so that a candidate can stand in for the file it will become. */
export function mergedConfig(main: string, files: readonly string[]): string {
  return main.replace(INCLUDE, () => files.map((path) => `Include ${path}`).join('\n'));
}

async function check(host: Host, name: string, wanted: Wanted): Promise<void> {
  const path = `${DIRECTORY}/${name}.conf`;
  const main = (await host.readFile(MAIN)) ?? '';
  if (!INCLUDE.test(main)) {
    throw new DeployError('sshd-include-missing', `${MAIN} does not read ${DIRECTORY}, so ${path} would do nothing.`, {
      hint: `Add \`Include ${DIRECTORY}/*.conf\` as its first line on the host, then run the same command again.`,
    });
  }
  const candidate = `${CANDIDATES}/${name}.conf`;
  const merged = `${CANDIDATES}/merged`;
  const files = (await inOrder(host, path, wanted.content)).map((file) => file.path).filter((file) => file !== MAIN);
  await host.writeFile(candidate, wanted.content, ATTRIBUTES);
  const text = mergedConfig(
    main,
    files.map((file) => (file === path ? candidate : file)),
  );
  await host.writeFile(merged, text, ATTRIBUTES);
  try {
    const tested = await sshd(host, ['-t', '-f', merged]);
    if (tested.exitCode !== 0) throw invalid(path, tested);
    const effective = await sshd(host, ['-T', '-f', merged]);
    const [first, ...rest] = await differences(host, path, wanted, effective.stdout);
    if (first === undefined) return;
    const all = [first, ...rest].map(({ option, from }) => `${option} (set by ${from ?? 'sshd itself'})`).join(', ');
    throw new DeployError('sshd-overridden', `${path} would not count for ${all}: the first value sshd reads counts.`, {
      hint: `Remove the line from ${first.from ?? MAIN} on the host, then run the same command again.`,
    });
  } finally {
    await host.removeFile(candidate);
    await host.removeFile(merged);
  }
}

/** What sshd is told beside its own configuration: checked as a whole before it counts, compared by what sshd makes of it. */
export const sshdConfigKind = defineKind({
  kind: 'sshd-config',
  summary: 'What sshd is told beside its own configuration; compared by what sshd itself says is in effect.',
  props,
  id: ({ name }) => name,
  read,
  diff,
  async apply(host, wanted) {
    const { name } = wanted;
    const own = await wantedOn(host, wanted);
    await check(host, name, own);
    await host.writeFile(`${DIRECTORY}/${name}.conf`, own.content, ATTRIBUTES);
    await remember(host, wanted, own);
  },
  footprint: ({ name }) => ({ name }),
  async remove(host, { name }) {
    await host.removeFile(`${DIRECTORY}/${name}.conf`);
    await forget(host, name as string);
  },
  guarded: true,
  preexisting: 'remove',
});
