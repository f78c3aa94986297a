import { auditHost, type HostAudit } from '#cli/audit';
import { auditJson, auditText } from '#cli/audit-text';
import { narrator } from '#cli/narrator';
import { hostsOf } from '#cli/operate';
import { paintFor } from '#cli/paint';
import { printError } from '#cli/print-error';
import { projectDirectory, runnerFile } from '#cli/project';
import type { Verb } from '#cli/verb';
import { EXIT } from '#core/error-codes';
import { DeployError } from '#core/errors';
import { loadEnvironment } from '#inventory/load';
import { readBundle } from '#ssh/runner';

interface AuditOptions {
  readonly host?: readonly string[];
  readonly all?: boolean;
  readonly tools?: boolean;
  readonly askPassword?: boolean;
  readonly json?: boolean;
  readonly project?: string;
}

function print(audit: HostAudit, name: string, options: AuditOptions): void {
  const json = options.json === true;
  if (audit.error !== undefined) {
    printError(audit.error, { json, environment: name });
    return;
  }
  if (json) {
    process.stdout.write(`${JSON.stringify(auditJson(audit))}\n`);
    return;
  }
  const { columns = 80 } = process.stdout;
  const lines = auditText(audit, {
    environment: name,
    all: options.all === true,
    columns,
    paint: paintFor(process.stdout),
  });
  process.stdout.write(`${lines.join('\n')}\n`);
}

function exitCode(audits: readonly HostAudit[]): number {
  const [failed] = audits.flatMap(({ error }) => (error === undefined ? [] : [error]));
  if (failed !== undefined) return failed.exitCode;
  const isFound = audits.some(({ verdicts }) => verdicts.some(({ status }) => status === 'finding'));
  return isFound ? EXIT.changes : EXIT.done;
}

async function audit(name: string, options: AuditOptions): Promise<number> {
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const { CONTROLS, unknownControls } = await import('#playbooks/controls');
  const unknown = unknownControls(environment.audit.accept);
  if (unknown.length > 0) {
    throw new DeployError('control-unknown', `audit.accept of ${name} names no control: ${unknown.join(', ')}.`, {
      hint: `See their names with \`deploy audit ${name} --all\` once these lines are gone.`,
    });
  }
  const hosts = hostsOf(environment, options.host ?? []);
  const bundle = readBundle(runnerFile());
  const told = narrator(hosts.map((host) => host.name));
  const audits = await Promise.all(
    hosts.map((host) =>
      auditHost(environment, host, {
        controls: CONTROLS,
        bundle,
        askPassword: options.askPassword === true,
        tools: options.tools === true,
        progress: options.json === true ? () => undefined : told.progress,
      }),
    ),
  );
  told.end();
  for (const [index, one] of audits.entries()) {
    if (index > 0 && options.json !== true) process.stdout.write('\n');
    print(one, name, options);
  }
  return exitCode(audits);
}

export const verb: Verb = {
  define(command) {
    command
      .argument('<environment>', 'the environment: a file below inventory/, without .yaml')
      .option('--host <name...>', 'only these hosts')
      .option('--all', 'list every control, not only those that are not as they should be')
      .option('--tools', 'also run ssh-audit, Lynis and docker-bench-security where installed, and keep their figures')
      .option('--ask-password', 'ask for a password where no key opens the door; it is used once and never stored')
      .option('--json', 'print one line of JSON for each host to standard output')
      .option('--project <folder>', 'the folder that holds inventory/')
      .addHelpText(
        'after',
        `
Asks the running system, never the files that were written, and looks at the
host's ports from this machine. It changes nothing and waits for no lock;
--tools keeps its figures in /var/lib/slipway/audit on the host. A finding that
is wanted is accepted in the inventory, with its reason:

  audit:
    accept:
      ssh-allow-tcp-forwarding: the tunnel to the database

Exit codes: 0 no findings, 3 findings, 1 failed, 2 invalid inventory,
6 host unreachable.`,
      )
      .action(async (environment: string, options: AuditOptions) => {
        process.exitCode = await audit(environment, options);
      });
  },
};
