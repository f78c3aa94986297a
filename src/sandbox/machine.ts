import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { open, readdir, readFile, rmdir } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { DeployError } from '#core/errors';
import { BRIDGE } from './network.ts';
import { hostFolder, hostTree } from './places.ts';
import { childrenOf, ended, identify, isRunning, type ProcessId, signal } from './processes.ts';

/** systemd's own request to its init: SIGRTMIN+4 is "power off" (systemd(1)); SIGRTMIN is 34 with glibc. */
const POWER_OFF = 38;

// Each host gets cgroups of its own, since two that start in the same one would share the init scope. A guest that
// reboots makes nspawn end with 133 (EXIT_FORCE_RESTART), so that whoever keeps it starts it again: this loop.
const KEEPER = `
echo $$ > "$PID_FILE"
for group in $GROUPS_TO_JOIN; do mkdir -p "$group" && echo $$ > "$group/cgroup.procs"; done
while "$@"; [ $? -eq 133 ]; do :; done
`;

const hasSystemd = existsSync('/run/systemd/system');

function machineName(name: string): string {
  return `slipway-${name}`;
}

function pidFile(name: string): string {
  return `${hostFolder(name)}/keeper.pid`;
}

/**
 * What keeps the host running, whichever process started it: the one its pid file names, if that still is the keeper
 * of this very host. Undefined where the host does not run.
 */
export async function keeperOf(name: string): Promise<ProcessId | undefined> {
  const pid = Number(await readFile(pidFile(name), 'utf8').catch(() => ''));
  if (!Number.isInteger(pid) || pid < 2) return undefined;
  const argv = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
  return argv[1] === '-c' && argv[3] === machineName(name) ? await identify(pid) : undefined;
}

/** The cgroup hierarchies that systemd in a guest uses, on a hybrid machine and on one with v2 alone. */
function cgroupsOf(name: string): readonly string[] {
  if (hasSystemd) return [];
  return ['/sys/fs/cgroup/unified', '/sys/fs/cgroup/systemd', '/sys/fs/cgroup']
    .filter((root) => existsSync(`${root}/cgroup.procs`))
    .map((root) => `${root}/${machineName(name)}`);
}

function nspawn(name: string, binds: readonly string[]): readonly string[] {
  return [
    ...['systemd-nspawn', '--quiet', `--directory=${hostTree(name)}`, `--machine=${machineName(name)}`],
    ...[`--hostname=${name}`, '--boot', '--console=read-only', `--network-bridge=${BRIDGE}`],
    // runc joins a session keyring and loads a device filter for each container.
    ...['--capability=all', '--system-call-filter=@keyring bpf'],
    ...['--resolv-conf=off', '--timezone=off', '--link-journal=no'],
    ...binds.map((bind) => `--bind=${bind}`),
    // Without a systemd on this machine nobody can register it or give it a scope.
    ...(hasSystemd ? [] : ['--register=no', '--keep-unit']),
  ];
}

/**
 * Starts the host's tree as a machine that outlives this process. `binds` are folders of this machine that it sees,
 * as `here:there`.
 */
export async function boot(name: string, binds: readonly string[]): Promise<ProcessId> {
  const log = await open(`${hostFolder(name)}/console.log`, 'w', 0o600);
  try {
    const keeper = spawn('/bin/sh', ['-c', KEEPER, machineName(name), ...nspawn(name, binds)], {
      cwd: '/',
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      env: {
        PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1',
        PID_FILE: pidFile(name),
        GROUPS_TO_JOIN: cgroupsOf(name).join(' '),
      },
    });
    keeper.unref();
    const id = keeper.pid === undefined ? undefined : await identify(keeper.pid);
    if (id === undefined) throw await bootFailure(name, 'its process ended at once');
    return id;
  } finally {
    await log.close();
  }
}

async function bootFailure(name: string, why: string): Promise<DeployError> {
  const log = await readFile(`${hostFolder(name)}/console.log`, 'utf8').catch(() => '');
  const said = log.trim().split('\n').slice(-5).join('\n');
  return new DeployError('sandbox-failed', `The sandbox host ${name} did not start: ${why}.\n${said}`, {
    hint: `See ${hostFolder(name)}/console.log for the rest of what its console said.`,
  });
}

async function supervisorOf(keeper: ProcessId): Promise<ProcessId | undefined> {
  const [pid] = (await isRunning(keeper)) ? await childrenOf(keeper.pid) : [];
  return pid === undefined ? undefined : await identify(pid);
}

/** The host's init as this machine numbers it; undefined while there is none. */
export async function initOf(keeper: ProcessId): Promise<ProcessId | undefined> {
  const supervisor = await supervisorOf(keeper);
  const [pid] = supervisor === undefined ? [] : await childrenOf(supervisor.pid);
  return pid === undefined ? undefined : await identify(pid);
}

async function sshAnswers(address: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = createConnection({ host: address, port: 22 });
    const settle = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1000, () => settle(false));
    socket.once('error', () => settle(false));
    socket.once('close', () => settle(false));
    socket.once('data', (banner) => settle(banner.toString('latin1').startsWith('SSH-')));
  });
}

/** Waits until sshd answers and everybody may log in; throws sandbox-failed after 30 s or when the machine ends. */
export async function awaitSsh(name: string, keeper: ProcessId, address: string): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (performance.now() < deadline) {
    if (!(await isRunning(keeper))) throw await bootFailure(name, 'its machine ended');
    if (await sshAnswers(address)) {
      const init = await initOf(keeper);
      if (init !== undefined && !existsSync(`/proc/${init.pid}/root/run/nologin`)) return;
    }
    await sleep(30);
  }
  throw await bootFailure(name, 'its sshd did not answer within 30 s');
}

/** Shuts the machine down as its power button would; by force after 30 s. */
export async function powerOff(name: string): Promise<void> {
  const keeper = await keeperOf(name);
  const init = keeper === undefined ? undefined : await initOf(keeper);
  if (keeper === undefined || init === undefined) return await kill(name);
  await signal(init, POWER_OFF);
  if (await ended(keeper, 30)) await removeCgroups(name);
  else await kill(name);
}

/** Ends the machine at once, as a pulled plug would. */
export async function kill(name: string): Promise<void> {
  const keeper = await keeperOf(name);
  if (keeper !== undefined) {
    const init = await initOf(keeper);
    // With its init all of the guest dies; nspawn then tidies up behind it, and the keeper ends.
    if (init !== undefined) await signal(init, 'SIGKILL');
    if (init === undefined || !(await ended(keeper, 10))) await force(keeper);
  }
  await removeCgroups(name);
}

async function force(keeper: ProcessId): Promise<void> {
  const supervisor = await supervisorOf(keeper);
  await signal(keeper, 'SIGKILL');
  if (supervisor !== undefined) await signal(supervisor, 'SIGKILL');
}

async function removeGroup(group: string): Promise<void> {
  const entries = await readdir(group, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeGroup(`${group}/${entry.name}`);
  await rmdir(group).catch(() => undefined);
}

async function removeCgroups(name: string): Promise<void> {
  await Promise.all(cgroupsOf(name).map(removeGroup));
}
