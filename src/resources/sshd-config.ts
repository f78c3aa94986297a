import * as z from 'zod';
import { DeployError } from '#core/errors';
import { lastLines, type Output } from '#core/run';
import { accountName } from '#resources/accounts';
import { readTextFile, type TextFile, textFileChanges } from '#resources/file';
import { type Change, defineKind, type Host } from '#resources/resource';
import {
  type Ask,
  type Difference,
  differences,
  obstacleFor,
  type PlacedObstacle,
  portToCome,
} from '#resources/sshd-effect';
import { DIRECTORY, INCLUDE, inOrder, MAIN, mergedConfig, placeText } from '#resources/sshd-files';
import { forget, recall, remember, type Wanted } from '#resources/sshd-memory';
import { parseEffective, renderOptions, type SshdValue, unknownOptions } from '#resources/sshd-options';
import { sshd } from '#resources/sshd-program';

const CANDIDATES = '/run/slipway/sshd';
const ATTRIBUTES = { owner: 'root', group: 'root', mode: '0600' };

const option = z.string().regex(/^[A-Z][A-Za-z0-9]+$/, 'an option as sshd_config(5) spells it');
const value = z.union([z.string().regex(/^[^\n]+$/), z.number(), z.boolean(), z.array(z.string().min(1)).min(1)]);
const settings = z.record(option, value);

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
  /** Settings that no Match block of another file may loosen for anybody. */
  always: z.array(option).default([]),
  /** Who has to be able to log in with a key in ~/.ssh/authorized_keys, whatever other files say. */
  letsIn: accountName.optional(),
});

type Props = z.output<typeof props>;

interface SshdState {
  readonly file: TextFile | undefined;
  /** What the file should say on this host. */
  readonly content: string;
  readonly differences: readonly Difference[];
  /** Why applying it would be refused, whatever we write: a line of another file. */
  readonly obstacle?: PlacedObstacle | undefined;
  /** What sshd says where another file has a line that it does not take. */
  readonly broken?: string | undefined;
}

/** What sshd makes of these settings alone; given as options, since it reads no configuration from a pipe. */
function alone(host: Host, lines: string): Promise<Output> {
  const options = lines.split('\n').filter((line) => line !== '');
  return sshd(host, ['-T', '-f', '/dev/null', ...options.flatMap((line) => ['-o', line])]);
}

function invalid(name: string, output: Output): DeployError {
  return new DeployError('sshd-invalid', `sshd refuses ${name}: ${lastLines(output)}`, {
    hint: 'Correct what it names; what is live was not changed.',
  });
}

// Of several Match blocks that fit, the first to set an option counts (sshd_config(5)): ours is in the first file.
async function matchAll(host: Host, options: Readonly<Record<string, SshdValue>>, always: readonly string[]) {
  const kept = Object.fromEntries(Object.entries(options).filter(([option]) => always.includes(option)));
  if (Object.keys(kept).length === 0) return '';
  return `\n# So that no Match block of another file loosens it.\nMatch all\n${await renderOptions(host, kept)}`;
}

/** The file for this host and what sshd makes of it alone, so that the comparison is in sshd's own words. */
async function wantedOn(host: Host, { name, settings, ifKnown, always }: Props): Promise<Wanted> {
  let options: Readonly<Record<string, SshdValue>> = { ...settings, ...ifKnown };
  let lines = await renderOptions(host, options);
  let output = await alone(host, lines);
  const unknown = unknownOptions(`${output.stdout}\n${output.stderr}`);
  if (output.exitCode !== 0 && Object.keys(ifKnown).some((option) => unknown.has(option.toLowerCase()))) {
    const drop = (option: string) => option in ifKnown && unknown.has(option.toLowerCase());
    options = Object.fromEntries(Object.entries(options).filter(([option]) => !drop(option)));
    lines = await renderOptions(host, options);
    output = await alone(host, lines);
  }
  if (output.exitCode !== 0) throw invalid(name, output);
  const all = parseEffective(output.stdout);
  const own = Object.keys(options).map((option) => option.toLowerCase());
  const content = lines + (await matchAll(host, options, always));
  return { content, effective: new Map(own.map((option) => [option, all.get(option) ?? ''])) };
}

async function read(host: Host, wanted: Props): Promise<SshdState | undefined> {
  const path = `${DIRECTORY}/${wanted.name}.conf`;
  if ((await host.stat('/usr/sbin/sshd')) === undefined) return undefined;
  const ask: Ask = (argv) => host.once(`sshd ${argv.join(' ')}`, () => sshd(host, argv));
  const [file, known, parts, output] = await Promise.all([
    readTextFile(host, path),
    recall(host, wanted),
    inOrder(host, path),
    ask(['-T']),
  ]);
  if (output.exitCode !== 0) {
    const said = lastLines(output);
    const { content } = known ?? (await wantedOn(host, wanted));
    return { file, content, differences: [], broken: said.includes(path) ? undefined : said };
  }
  const foreign = parts.filter((part) => part.path !== path);
  const obstacle =
    (await obstacleFor(host, wanted.letsIn, foreign, ask)) ?? (await portToCome(host, wanted.settings, foreign, ask));
  const stateOf = async (own: Wanted) => {
    return { file, content: own.content, differences: await differences(host, wanted, own, ask), obstacle };
  };
  const remembered = known === undefined ? undefined : await stateOf(known);
  // Memory may say that nothing has to be done; what has to be done, only sshd itself may say.
  if (remembered !== undefined && diff(remembered).length === 0) return remembered;
  return stateOf(await wantedOn(host, wanted));
}

function oneLine(text: string): string {
  return text.replaceAll('\n', ' ');
}

function where({ from }: Difference): string {
  if (from === undefined) return '';
  return ` (set by ${placeText(from)}${from.match === undefined ? '' : `, Match ${from.match}`})`;
}

function diff(state: SshdState | undefined): readonly Change[] {
  if (state === undefined) return [{ summary: 'create' }];
  const file = textFileChanges(state.file, { content: state.content, ...ATTRIBUTES });
  // Where the file is about to change, only what other files say needs saying besides.
  const unexplained = state.differences.filter(({ from }) => file.length === 0 || from !== undefined);
  const effective = unexplained.map((difference) => {
    const { option, effective, wanted } = difference;
    return { summary: `${option}: ${oneLine(effective)}${where(difference)} -> ${oneLine(wanted)}` };
  });
  const broken = state.broken === undefined ? [] : [{ summary: `sshd refuses what it has: ${oneLine(state.broken)}` }];
  return [...file, ...broken, ...effective];
}

function overridden(path: string, all: readonly Difference[]): DeployError | undefined {
  const [first] = all;
  if (first === undefined) return undefined;
  const list = all.map((difference) => `${difference.option}${where(difference) || ' (set by sshd itself)'}`);
  return new DeployError(
    'sshd-overridden',
    `${path} would not count for ${list.join(', ')}: the first value sshd reads counts.`,
    {
      hint: `Remove the line from ${first.from === undefined ? MAIN : placeText(first.from)} on the host, then run the same command again.`,
    },
  );
}

function inTheWay(found: PlacedObstacle | undefined): DeployError | undefined {
  if (found === undefined) return undefined;
  const { option, value, why, place } = found;
  const who = place === undefined ? 'The configuration of sshd' : placeText(place);
  return new DeployError('login-refused', `${who} sets ${option} to "${value}", and ${why}.`, {
    hint: `Change ${place === undefined ? MAIN : who} on the host, then run the same command again.`,
  });
}

async function check(host: Host, props: Props, wanted: Wanted): Promise<void> {
  const path = `${DIRECTORY}/${props.name}.conf`;
  const main = (await host.readFile(MAIN)) ?? '';
  if (!INCLUDE.test(main)) {
    throw new DeployError('sshd-include-missing', `${MAIN} does not read ${DIRECTORY}, so ${path} would do nothing.`, {
      hint: `Add \`Include ${DIRECTORY}/*.conf\` as its first line on the host, then run the same command again.`,
    });
  }
  const candidate = `${CANDIDATES}/${props.name}.conf`;
  const merged = `${CANDIDATES}/merged`;
  const parts = await inOrder(host, path, wanted.content);
  const files = parts.map((file) => file.path).filter((file) => file !== MAIN);
  await host.writeFile(candidate, wanted.content, ATTRIBUTES);
  const text = mergedConfig(
    main,
    files.map((file) => (file === path ? candidate : file)),
  );
  await host.writeFile(merged, text, ATTRIBUTES);
  try {
    const tested = await sshd(host, ['-t', '-f', merged]);
    if (tested.exitCode !== 0) throw invalid(path, tested);
    const ask: Ask = (argv) => sshd(host, [...argv, '-f', merged]);
    const refusal =
      overridden(path, await differences(host, props, wanted, ask)) ??
      inTheWay(await obstacleFor(host, props.letsIn, parts, ask));
    if (refusal !== undefined) throw refusal;
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
  foresee(state, { name }) {
    if (state === undefined) return undefined;
    if (state.broken !== undefined) {
      return new DeployError('sshd-invalid', `sshd refuses its configuration as it is: ${oneLine(state.broken)}`, {
        hint: 'Correct the line it names on the host, then run the same command again; sshd must not be restarted before.',
      });
    }
    const theirs = state.differences.filter(({ from }) => from !== undefined);
    return overridden(`${DIRECTORY}/${name}.conf`, theirs) ?? inTheWay(state.obstacle);
  },
  async apply(host, wanted) {
    const { name } = wanted;
    const own = await wantedOn(host, wanted);
    await check(host, wanted, own);
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
