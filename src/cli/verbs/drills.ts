import { writeFile } from 'node:fs/promises';
import { askHosts } from '#cli/ask';
import { drillsText } from '#cli/drill-text';
import { drillsPage, type HostDrills } from '#cli/drills-page';
import { hostsOf } from '#cli/operate';
import { paintFor } from '#cli/paint';
import { printError } from '#cli/print-error';
import { projectDirectory } from '#cli/project';
import type { Verb } from '#cli/verb';
import { EXIT } from '#core/error-codes';
import { loadEnvironment } from '#inventory/load';

interface DrillsOptions {
  readonly html?: string;
  readonly host?: readonly string[];
  readonly json?: boolean;
  readonly project?: string;
}

async function drills(name: string, options: DrillsOptions): Promise<number> {
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const { app } = environment;
  const hosts = hostsOf(environment, options.host ?? []);
  const json = options.json === true;
  const paint = paintFor(process.stdout);
  const answers = await askHosts(environment, hosts, { verb: 'drills', app });
  // What can be restored at this moment is for the page alone: a repository has to be asked for it.
  const standing = options.html === undefined ? [] : await askHosts(environment, hosts, { verb: 'backup-status', app });
  const found: HostDrills[] = [];
  let code: number = EXIT.done;
  for (const { host, events, error } of answers) {
    if (error !== undefined) printError(error, { json, environment: name });
    code = error?.exitCode ?? code;
    const listed = events.find((event) => event.type === 'drills.listed');
    if (listed === undefined) continue;
    const stands = standing
      .find((answer) => answer.host === host)
      ?.events.find((event) => event.type === 'backup.stands');
    found.push({ host, reports: listed.reports, standings: stands?.standings ?? [], alarms: stands?.alarms ?? [] });
    if (json) process.stdout.write(`${JSON.stringify({ ...listed, host })}\n`);
    else if (options.html === undefined) {
      process.stdout.write(`${paint.bold(host)}\n${drillsText(listed.reports, paint).join('\n')}\n`);
    }
  }
  if (options.html === undefined || found.length === 0) return code;
  await writeFile(options.html, drillsPage({ app, environment: name, hosts: found, now: Date.now() }));
  if (!json) process.stdout.write(`${options.html}\n`);
  return code;
}

export const verb: Verb = {
  define(command) {
    command
      .argument('<environment>', 'the environment: a file below inventory/, without .yaml')
      .option('--html <file>', 'write one page with everything, plots included, to this file')
      .option('--host <name...>', 'only these hosts')
      .option('--json', 'print one line of JSON for each host, with all reports')
      .option('--project <folder>', 'the folder that holds inventory/')
      .action(async (environment: string, options: DrillsOptions) => {
        process.exitCode = await drills(environment, options);
      });
  },
};
