import { askAloud } from '#cli/ask-aloud';
import { paintFor } from '#cli/paint';
import { printError } from '#cli/print-error';
import { confirmLoss } from '#cli/protection';
import { previewText, restoredText } from '#cli/restore-text';
import { EXIT } from '#core/error-codes';
import type { Environment, Host } from '#inventory/environment';
import type { BackupRequest } from '#protocol/backup';
import type { Event } from '#protocol/event';

/** What brings data back. */
export type Asking = Extract<BackupRequest, { verb: 'restore' | 'rollback-data' }>;
type Preview = Extract<Event, { type: 'restore.previewed' }>;

/** Asks the hosts, shows what happens, and resolves with what was previewed and the exit code. */
export async function askForData(
  environment: Environment,
  hosts: readonly Host[],
  request: Asking,
  json: boolean,
): Promise<{ readonly previews: readonly Preview[]; readonly code: number }> {
  const answers = await askAloud(environment, hosts, request, json);
  const paint = paintFor(process.stdout);
  for (const { host, events, error } of answers) {
    if (!json) {
      for (const event of events) {
        if (event.type === 'restore.previewed') process.stdout.write(`${previewText(event, paint).join('\n')}\n`);
        if (event.type === 'restore.done') process.stdout.write(`${restoredText(event, host, paint).join('\n')}\n`);
      }
    }
    if (error !== undefined) printError(error, { json, environment: environment.name });
  }
  return {
    previews: answers.flatMap(({ events }) =>
      events.flatMap((event) => (event.type === 'restore.previewed' ? [event] : [])),
    ),
    code: answers.find(({ error }) => error !== undefined)?.error?.exitCode ?? EXIT.done,
  };
}

/** Shows what would be replaced, has it confirmed, and has it done; resolves with the exit code. */
export async function replaceData(
  environment: Environment,
  hosts: readonly Host[],
  request: Asking,
  doing: (previews: readonly Preview[]) => string,
  { json = false, yes = false }: { readonly json?: boolean; readonly yes?: boolean },
): Promise<number> {
  const first = await askForData(environment, hosts, { ...request, preview: true }, json);
  if (first.code !== EXIT.done) return first.code;
  await confirmLoss(environment, doing(first.previews), yes);
  return (await askForData(environment, hosts, { ...request, preview: false }, json)).code;
}
