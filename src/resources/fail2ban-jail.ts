import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { DeployError } from '#core/errors';
import { lastLines } from '#core/run';
import { readTextFile, type TextFile, textFileChanges } from '#resources/file';
import { defineKind, type Host } from '#resources/resource';
import { inTrialFolder } from '#resources/trial';

const value = z.union([z.string(), z.number(), z.boolean(), z.array(z.string())]);

const props = z.strictObject({
  /** The jail, or `DEFAULT` for what all jails share. */
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]*$/),
  /** Options as in jail.conf(5); a list becomes one line each. */
  options: z.record(z.string().regex(/^[A-Za-z0-9_.]+$/), value),
});
type Props = z.output<typeof props>;

interface State {
  readonly file: TextFile;
  readonly active: boolean;
}

const CONFIG = '/etc/fail2ban';
const UNIT = 'fail2ban.service';
/** A tenth of a second each: a loaded small host needs two or three seconds. */
const START_ATTEMPTS = 150;
const ATTRIBUTES = { mode: '0644', owner: 'root', group: 'root' };

const pathOf = (name: string): string => `jail.d/${name}.local`;

/** The text of a jail's file. */
export function renderJail({ name, options }: Props): string {
  const lines = Object.entries(options).map(([key, option]) => {
    // A line that does not begin with a space would be a key of its own.
    const text = Array.isArray(option) ? option.join('\n') : String(option);
    return `${key} = ${text.trim().replaceAll('\n', '\n    ')}`;
  });
  return `[${name}]\n${lines.join('\n')}\n`;
}

/** Whether the server runs, from its pid file and the kernel: asking its own client takes 150 ms. */
async function isActive(host: Host): Promise<boolean> {
  const pid = (await host.readFile('/run/fail2ban/fail2ban.pid'))?.trim() ?? '';
  if (!/^\d+$/.test(pid)) return false;
  return (await host.readFile(`/proc/${pid}/cmdline`))?.includes('fail2ban') ?? false;
}

/** What a jail's file says of how to ban. */
const actionsIn = (text: string | undefined): string => [...(text ?? '').matchAll(/^(?:ban)?action.*/gm)].join('\n');

async function validate(host: Host, wanted: Props): Promise<void> {
  await inTrialFolder(host, async (folder) => {
    const copy = `${folder}/fail2ban`;
    await host.must(['cp', '--archive', CONFIG, copy]);
    await host.must(['tee', `${copy}/${pathOf(wanted.name)}`], { input: renderJail(wanted) });
    const output = await host.run(['fail2ban-client', '--conf', copy, '--test']);
    if (output.exitCode === 0) return;
    throw new DeployError(
      'fail2ban-invalid',
      `fail2ban does not accept the jail ${wanted.name}:\n${lastLines(output)}`,
      {
        hint: 'What runs was left as it is. Correct the option that is named and run the same command again.',
      },
    );
  });
}

/**
 * Starts the server, or again. Bans outlast that. A reload is no way to another action: it leaves the jails with neither
 * the old one nor the new, so that they say they ban and do not (1.1.0).
 */
async function start(host: Host): Promise<void> {
  await host.run(['systemctl', 'restart', UNIT]);
  // systemd does not wait until the server is up.
  for (let attempt = 0; attempt < START_ATTEMPTS; attempt += 1) {
    if (await isActive(host)) return;
    const state = await host.run(['systemctl', 'is-failed', '--quiet', UNIT]);
    if (state.exitCode === 0) break;
    await sleep(100);
  }
  const journal = await host.run(['journalctl', '--unit', UNIT, '--lines', '8', '--no-pager', '--output', 'cat']);
  throw new DeployError('fail2ban-invalid', `fail2ban does not start:\n${lastLines(journal, 8)}`, {
    hint: 'On Debian 12 it needs the package python3-systemd and `backend = systemd` in the jail DEFAULT.',
  });
}

/** One jail of fail2ban, in a file of its own. */
export const fail2banJailKind = defineKind({
  kind: 'fail2ban-jail',
  summary: 'One jail of fail2ban in a file of its own, checked before it is put in place, and fail2ban running.',
  props,
  id: ({ name }) => name,
  async read(host, { name }): Promise<State | undefined> {
    const [file, active] = await Promise.all([
      readTextFile(host, `${CONFIG}/${pathOf(name)}`),
      host.once('fail2ban active', () => isActive(host)),
    ]);
    return file === undefined ? undefined : { file, active };
  },
  diff(state, wanted) {
    const changes = textFileChanges(state?.file, { content: renderJail(wanted), ...ATTRIBUTES });
    return state === undefined || state.active ? changes : [...changes, { summary: 'start fail2ban' }];
  },
  async apply(host, wanted, state) {
    if (!(await host.has('fail2ban-client'))) {
      throw new DeployError('fail2ban-invalid', 'fail2ban is not installed, so it can have no jails.', {
        hint: 'Declare the package fail2ban before its jails.',
      });
    }
    await validate(host, wanted);
    const text = renderJail(wanted);
    await host.writeFile(`${CONFIG}/${pathOf(wanted.name)}`, text, ATTRIBUTES);
    if (actionsIn(text) !== actionsIn(state?.file.content) || !(await isActive(host))) await start(host);
  },
  footprint: ({ name }) => ({ name }),
  async remove(host, { name }) {
    const path = `${CONFIG}/${pathOf(name as string)}`;
    const actions = actionsIn(await host.readFile(path));
    await host.removeFile(path);
    if (!(await isActive(host)) || !(await host.has('fail2ban-client'))) return;
    const left = await host.run(['fail2ban-client', '--test']);
    if (left.exitCode === 0) {
      if (actions !== '') await start(host);
      return;
    }
    // So does Debian 12's as it comes: it did not run before we came, and no reload could succeed.
    host.warn(
      `What is left of fail2ban's configuration does not work, so it is stopped: ${lastLines(left, 1)}`,
      'Purge the package fail2ban, or give it a configuration that works.',
    );
    await host.run(['systemctl', 'stop', UNIT]);
  },
  preexisting: 'remove',
});
