import { backupSentences } from '#cli/backup-sentences';
import { listed, wrapped } from '#cli/fit';
import type { Audience } from '#cli/operate';
import { type Paint, paintFor } from '#cli/paint';
import { openQuestion } from '#cli/prompter';
import { releaseSentences } from '#cli/release-sentences';
import { columnsOf, fuses, statusLine, type Terminal } from '#cli/status-line';
import { formatBytes, formatSeconds } from '#core/units';
import type { Event } from '#protocol/event';
import type { Change, Step, Trigger, Way } from '#protocol/plan';

type Line = (text: string) => void;

const SIGN: Readonly<Record<Step['action'], string>> = {
  create: '+',
  update: '~',
  remove: '-',
  release: '»',
  trigger: '↻',
};

/** Columns of the resource's name before what happens to it. */
const NAME_WIDTH = 46;

/** Columns of the sign before the name, and of the blank behind it. */
const SIGN_WIDTH = 7;

function colourOf(action: Step['action'], paint: Paint): (text: string) => string {
  if (action === 'create' || action === 'release') return paint.green;
  return action === 'remove' ? paint.red : paint.yellow;
}

function summaryOf(changes: readonly Change[], columns: number): string {
  return listed(
    changes.map(({ summary }) => summary),
    columns - NAME_WIDTH - SIGN_WIDTH,
  );
}

function triggerText(triggers: readonly Trigger[]): string {
  return triggers.map(({ unit, action }) => `${action} ${unit.replace(/\.service$/, '')}`).join(', ');
}

function diffLines(diff: string, paint: Paint): string[] {
  return diff.split('\n').map((line) => {
    if (line.startsWith('+')) return paint.green(line);
    if (line.startsWith('-')) return paint.red(line);
    return line.startsWith('@@') ? paint.cyan(line) : paint.dim(line);
  });
}

/** A plan as a person reads it: what happens to what, grouped by playbook, with the diffs. */
export function planText(steps: readonly Step[], paint: Paint, options: { readonly diffs: boolean }): string[] {
  const lines: string[] = [];
  let playbook = '';
  for (const step of steps) {
    if (step.playbook !== playbook) {
      playbook = step.playbook;
      lines.push(`  ${paint.bold(playbook)}`);
    }
    const due = step.triggers.length === 0 ? '' : paint.dim(`  (${triggerText(step.triggers)})`);
    const sign = colourOf(step.action, paint)(SIGN[step.action]);
    lines.push(
      `    ${sign} ${step.resource.padEnd(NAME_WIDTH)} ${summaryOf(step.changes, Number.POSITIVE_INFINITY)}${due}`,
    );
    if (!options.diffs) continue;
    for (const { diff } of step.changes) {
      if (diff !== undefined) lines.push(...diffLines(diff, paint).map((line) => `        ${line}`));
    }
  }
  return lines;
}

function families(ways: readonly Way[]): string {
  return ways.map(({ family }) => `IPv${family}`).join(' and ');
}

/** What one event says to a person; nothing for those that only machines need. */
function sentences(event: Event, paint: Paint, columns: number, playbookOf: Map<string, string>): string[] {
  switch (event.type) {
    case 'hello': {
      const { os, cpus, memoryBytes, diskFreeBytes, arch } = event.facts;
      const busy = event.busy === undefined ? [] : [paint.yellow(`  ! ${event.busy} is at work on it`)];
      return [
        paint.dim(
          `  ${os.name}, ${arch}, ${cpus} cores, ${formatBytes(memoryBytes)}, ${formatBytes(diskFreeBytes)} free`,
        ),
        ...busy,
      ];
    }
    case 'resource.changed': {
      const title = playbookOf.get(event.host ?? '') === event.playbook ? [] : [`  ${paint.bold(event.playbook)}`];
      playbookOf.set(event.host ?? '', event.playbook);
      const took = event.duration < 1 ? '' : paint.dim(`  ${formatSeconds(event.duration)}`);
      return [
        ...title,
        `    ${paint.green('✓')} ${event.resource.padEnd(NAME_WIDTH)} ${summaryOf(event.changes, columns)}${took}`,
      ];
    }
    case 'resource.removed':
      return [`    ${paint.red('-')} ${event.resource.padEnd(NAME_WIDTH)} removed`];
    case 'trigger.fired':
      return [paint.dim(`    ↻ ${event.trigger.unit} ${event.trigger.action === 'reload' ? 'reloaded' : 'restarted'}`)];
    case 'warning':
      return [
        paint.yellow(wrapped(`    ! ${event.message}`, columns, '      ')),
        ...(event.hint === undefined ? [] : [`      → ${event.hint}`]),
      ];
    case 'guard.armed':
      return [
        paint.cyan(
          `    ⛨ guard armed: the host undoes this in ${event.seconds} s unless fresh logins as ${event.user} work over ${families(event.ways)}`,
        ),
      ];
    case 'guard.disarmed': {
      const open = event.proven.filter(({ through }) => through === 'open');
      const at = event.proven.map(({ family, address }) => `${event.user}@${address} (IPv${family})`).join(', ');
      const cut = `    ! no fresh login reaches the host over ${families(open)}, as was asked for: only the connection that is open has proven it`;
      return [
        paint.cyan(
          open.length === event.proven.length
            ? `    ⛨ guard disarmed: sudo was proven: ${at}`
            : `    ⛨ guard disarmed: a fresh login with sudo was proven: ${at}`,
        ),
        ...(open.length === 0 ? [] : [paint.yellow(wrapped(cut, columns, '      '))]),
      ];
    }
    case 'guard.undone':
      return [paint.red(wrapped(`    ⛨ undone: ${event.reason}`, columns, '      '))];
    case 'operation.finished': {
      const { changed, unchanged, removed, duration } = event;
      const said =
        changed + removed === 0
          ? 'no change'
          : [`${changed} changed`, ...(removed > 0 ? [`${removed} removed`] : [])].join(', ');
      return [
        `  ${paint.green('✓')} ${paint.bold(said)}${paint.dim(`, ${unchanged} as they should be, ${formatSeconds(duration)}`)}`,
      ];
    }
    default:
      return [...releaseSentences(event, paint), ...backupSentences(event, paint)];
  }
}

/** What is going on now, for the status line; undefined for events that change nothing of it. */
function activity(event: Event): string | undefined {
  switch (event.type) {
    case 'resource.started':
      return event.resource;
    case 'progress':
      return event.message;
    case 'release.ready':
      return `${event.tag} is ready for the flip`;
    case 'guard.ways-wanted':
      return 'logging in afresh, to see over which addresses that works';
    case 'guard.armed':
      return 'changing what could lock you out';
    case 'guard.proof-wanted':
      return `logging in afresh as ${event.user} over ${families(event.ways)}`;
    default:
      return undefined;
  }
}

/** Tells a person what happens, on standard error: a line for each thing that changed, and what is going on now. */
export function narrator(hosts: readonly string[], terminal: Terminal = process.stderr): Audience & { end(): void } {
  const paint = paintFor(terminal);
  const status = statusLine(terminal);
  const playbookOf = new Map<string, string>();
  const prefix = (host: string | undefined) => (hosts.length > 1 && host !== undefined ? `${paint.cyan(host)} ` : '');
  const line: Line = (text) => {
    const question = openQuestion();
    if (question !== undefined) return void question.then(() => line(text));
    status.clear();
    terminal.write(`${text}\n`);
  };
  const fuse = fuses();
  let shown: { host: string; text: string } | undefined;
  const show = (host: string, text: string) => {
    shown = { host, text };
    status.show(() => `${prefix(host)}${fuse.left(host)}${text}`);
  };
  return {
    event(event) {
      const host = event.host ?? '';
      fuse.hear(event);
      if (event.type === 'hello' && hosts.length === 1) line(paint.bold(host));
      for (const text of sentences(
        event,
        paint,
        terminal.isTTY === true ? columnsOf(terminal) : Number.POSITIVE_INFINITY,
        playbookOf,
      ))
        line(prefix(event.host) + text);
      if (event.type === 'progress' && terminal.isTTY !== true) line(`${prefix(host)}    … ${event.message}`);
      const now = activity(event);
      if (now !== undefined) show(host, now);
      // A line of the log has taken the status away; the seconds go on being counted.
      else if (shown !== undefined && fuse.burn(shown.host)) show(shown.host, shown.text);
    },
    progress(host, message) {
      if (terminal.isTTY === true) show(host, message);
    },
    end: () => status.clear(),
  };
}

/** Prints events as NDJSON for machines. */
export function recorder(): Audience & { end(): void } {
  return {
    event: (event) => process.stdout.write(`${JSON.stringify(event)}\n`),
    progress: () => undefined,
    end: () => undefined,
  };
}

/** Warns of something that is not the news of one host, within the width of the terminal. */
export function warn(message: string): void {
  const paint = paintFor(process.stderr);
  const columns = process.stderr.isTTY ? columnsOf(process.stderr) : Number.POSITIVE_INFINITY;
  process.stderr.write(`${paint.yellow(wrapped(`  ! ${message}`, columns, '    '))}\n`);
}
