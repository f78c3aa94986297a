import * as z from 'zod';
import { DeployError } from '#core/errors';
import { allRecorded } from '#resources/nginx-site';
import { NGINX, tryNginx } from '#resources/nginx-trial';
import { type Change, defineKind, type Host } from '#resources/resource';
import { textChange } from '#resources/text-diff';

const MAIN = `${NGINX}/nginx.conf`;
const ATTRIBUTES = { mode: '0644', owner: 'root', group: 'root' };
/** Ends a line of ours, and remembers what the owner had there. */
const MARK = /^ # Slipway(?:; before: (\d+))?(?=\n|$)/;

const props = z.strictObject({
  /** Of one worker, those to upstreams included. */
  connections: z.int().positive(),
});

/** What one worker may have open. */
interface Limits {
  readonly connections: number;
  readonly files: number;
}

interface State {
  readonly text: string;
  /** Files that nginx can allow its workers: in a container often fewer than are wanted, and asking for more changes nothing. */
  readonly most: number;
}

interface Directive {
  /** The blocks it stands in, from the outermost. */
  readonly block: string;
  readonly name: string;
  readonly value: string;
  /** Where its name begins, its value begins, and it has ended, in characters. */
  readonly start: number;
  readonly valueStart: number;
  readonly end: number;
}

interface Outline {
  readonly directives: readonly Directive[];
  /** Where the `events` block begins, and where its content does. */
  readonly events: { readonly start: number; readonly inside: number } | undefined;
}

/** The simple directives of a configuration, as nginx takes it apart: comments and quoted texts hold none. */
function outline(text: string): Outline {
  const tokens = text.matchAll(/#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[;{}]|[^\s;{}#"'][^\s;{}]*/g);
  const directives: Directive[] = [];
  const blocks: string[] = [];
  let words: { readonly word: string; readonly at: number }[] = [];
  let events: Outline['events'];
  for (const { 0: word, index: at } of tokens) {
    if (word.startsWith('#')) continue;
    const [name, value] = words;
    if (word === '{') {
      if (blocks.length === 0 && name?.word === 'events') events ??= { start: name.at, inside: at + 1 };
      blocks.push(name?.word ?? '');
    } else if (word === '}') blocks.pop();
    else if (word !== ';') {
      words.push({ word, at });
      continue;
    } else if (name !== undefined && value !== undefined) {
      const place = { start: name.at, valueStart: value.at, end: at + 1 };
      directives.push({ block: blocks.join(' '), name: name.word, value: value.word, ...place });
    }
    words = [];
  }
  return { directives, events };
}

const limitsOf = ({ connections, files }: Limits) => [
  { block: 'events', name: 'worker_connections', least: connections },
  { block: '', name: 'worker_rlimit_nofile', least: files },
];
type Limit = ReturnType<typeof limitsOf>[number];

/** Twice as many files as connections: logs, temporary files and what else a worker has open come on top. */
function wantedOf(connections: number, most = Number.POSITIVE_INFINITY): Limits {
  return { connections, files: Math.min(2 * connections, most) };
}

function find(text: string, { block, name }: Limit): Directive | undefined {
  return outline(text).directives.find((directive) => directive.block === block && directive.name === name);
}

function raiseOne(text: string, limit: Limit): string {
  const { block, name, least } = limit;
  const there = find(text, limit);
  if (there === undefined) {
    const { events } = outline(text);
    if (events === undefined) return text;
    if (block === '') return `${text.slice(0, events.start)}${name} ${least}; # Slipway\n${text.slice(events.start)}`;
    const rest = text.slice(events.inside).replace(/^[ \t]*\n?/, '');
    return `${text.slice(0, events.inside)}\n\t${name} ${least}; # Slipway\n${rest}`;
  }
  if (Number(there.value) >= least) return text;
  const after = text.slice(there.end);
  const mark = MARK.exec(after);
  const before = mark === null ? there.value : mark[1];
  const rest = after.slice(mark?.[0].length ?? 0);
  const memory = before === undefined ? '' : `; before: ${before}`;
  // What follows on the line must not become part of the comment.
  const line = /^(?:\n|$)/.test(rest) ? '' : '\n';
  return `${text.slice(0, there.valueStart)}${least}; # Slipway${memory}${line}${rest}`;
}

/** Raises the limits in the text of nginx.conf to at least these; all else stays as it is. */
export function raiseLimits(text: string, wanted: Limits): string {
  return limitsOf(wanted).reduce(raiseOne, text);
}

/** Takes raised limits back, where the owner has not raised them further. */
export function restoreLimits(text: string, raised: Limits): string {
  return limitsOf(raised).reduce((current, limit) => {
    const there = find(current, limit);
    const mark = there === undefined ? null : MARK.exec(current.slice(there.end));
    if (there === undefined || mark === null || Number(there.value) > limit.least) return current;
    const rest = current.slice(there.end + mark[0].length);
    if (mark[1] !== undefined) return `${current.slice(0, there.valueStart)}${mark[1]};${rest}`;
    return current.slice(0, there.start).replace(/[ \t]*$/, '') + rest.replace(/^\n/, '');
  }, text);
}

/** The hard limit on files, from a text of /proc/PID/limits. */
export function hardLimit(text: string): number {
  const [, hard] = /^Max open files\s+\S+\s+(\S+)/m.exec(text) ?? [];
  return hard === undefined || hard === 'unlimited' ? Number.POSITIVE_INFINITY : Number(hard);
}

async function read(host: Host): Promise<State | undefined> {
  const text = await host.readFile(MAIN);
  if (text === undefined) return undefined;
  const pid = (await host.readFile('/run/nginx.pid'))?.trim();
  const own = pid === undefined || pid === '' ? undefined : await host.readFile(`/proc/${pid}/limits`);
  return { text, most: hardLimit(own ?? (await host.readFile('/proc/1/limits')) ?? '') };
}

function diff(state: State | undefined, { connections }: { readonly connections: number }): readonly Change[] {
  if (state === undefined) return [{ summary: `raise to ${connections} connections` }];
  const wanted = wantedOf(connections, state.most);
  const raised = raiseLimits(state.text, wanted);
  if (raised === state.text) return [];
  const changes = limitsOf(wanted).flatMap((limit) => {
    const now = find(state.text, limit)?.value ?? 'unset';
    return Number(now) >= limit.least ? [] : [`${limit.name} ${now} -> ${limit.least}`];
  });
  return textChange(state.text, raised).map((change) => ({ ...change, summary: changes.join(', ') }));
}

/** How much a worker of nginx may have open. */
export const nginxLimitsKind = defineKind({
  kind: 'nginx-limits',
  summary: 'How much a worker of nginx may have open, at least; nothing else in nginx.conf is touched.',
  props,
  id: () => 'nginx.conf',
  read,
  diff,
  async apply(host, { connections }, state) {
    if (state === undefined) {
      throw new DeployError('nginx-broken-before', `${MAIN} is missing.`, {
        hint: '`apt-get install --reinstall -o Dpkg::Options::=--force-confmiss nginx-common` brings it back.',
      });
    }
    const raised = raiseLimits(state.text, wantedOf(connections, state.most));
    await tryNginx(host, 'nginx.conf', { [MAIN]: raised }, [], await allRecorded(host));
    await host.writeFile(MAIN, raised, ATTRIBUTES);
  },
  footprint: ({ connections }) => ({ connections }),
  async remove(host, footprint) {
    const text = await host.readFile(MAIN);
    if (text === undefined) return;
    const restored = restoreLimits(text, wantedOf(footprint['connections'] as number));
    if (restored !== text) await host.writeFile(MAIN, restored, ATTRIBUTES);
  },
  preexisting: 'remove',
});
