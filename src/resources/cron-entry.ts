import * as z from 'zod';
import { isSchedule } from '#core/cron-schedule';
import { quote } from '#core/quote';
import { accountName } from '#resources/accounts';
import { readTextFile, textFileChanges } from '#resources/file';
import { defineKind } from '#resources/resource';

const ATTRIBUTES = { owner: 'root', group: 'root', mode: '0644' };
/** Debian's cron cuts a command off after 998 characters (crontab(5)). */
const LONGEST_COMMAND = 998;

const printable = z.string().regex(/^[^\n\r\0]*$/, 'text on one line');

const props = z
  .strictObject({
    /** cron reads no file in /etc/cron.d whose name has another character (cron(8)). */
    name: z.string().regex(/^[A-Za-z0-9_-]+$/, 'letters, digits, `_` and `-`'),
    schedule: z.string().refine(isSchedule, 'five fields such as `0 2 * * *`, or `@daily`'),
    user: accountName.default('root'),
    /** An argument vector; nothing in it is interpreted by a shell or by cron. */
    command: z.array(printable).min(1),
    /** cron gives its jobs almost none: PATH is /usr/bin:/bin. */
    environment: z
      .record(
        z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/),
        printable.refine((value) => !(value.includes('"') && value.includes("'")), 'only one kind of quotes'),
      )
      .default({}),
  })
  .refine(({ command }) => cronCommand(command).length <= LONGEST_COMMAND, {
    message: `cron cuts commands off after ${LONGEST_COMMAND} characters: put it in a script`,
    path: ['command'],
  });

/**
 * A command line for cron from an argument vector: quoted for its shell, and every percent sign, which cron would turn
 * into a line break, escaped outside of quotes, where a backslash before it cannot be part of the argument.
 */
export function cronCommand(argv: readonly string[]): string {
  return argv
    .map((word) => {
      const parts = word.split('%');
      return parts.length === 1 ? quote(word) : parts.map((part) => (part === '' ? '' : quote(part))).join('\\%');
    })
    .join(' ');
}

/** The text of a file in /etc/cron.d. */
export function cronText({ schedule, user, command, environment }: Omit<z.output<typeof props>, 'name'>): string {
  const variables = Object.entries(environment).map(([name, value]) => {
    const mark = value.includes('"') ? "'" : '"';
    return `${name}=${mark}${value}${mark}`;
  });
  return `${[...variables, `${schedule.trim()} ${user} ${cronCommand(command)}`].join('\n')}\n`;
}

/** A job of cron, in a file of its own in /etc/cron.d. */
export const cronEntryKind = defineKind({
  kind: 'cron-entry',
  summary: 'A job of cron, in a file of its own in /etc/cron.d.',
  props,
  id: ({ name }) => name,
  read: (host, { name }) => readTextFile(host, `/etc/cron.d/${name}`),
  diff: (state, wanted) => textFileChanges(state, { content: cronText(wanted), ...ATTRIBUTES }),
  apply: (host, wanted) => host.writeFile(`/etc/cron.d/${wanted.name}`, cronText(wanted), ATTRIBUTES),
  footprint: ({ name }) => ({ name }),
  remove: (host, { name }) => host.removeFile(`/etc/cron.d/${name}`),
  preexisting: 'remove',
});
