import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { DeployError } from '#core/errors';
import { type Output, type RunOptions, run as runHere } from '#core/run';
import { describeHost, type SandboxHost } from './host.ts';
import { initOf, keeperOf } from './machine.ts';
import { hostFolder } from './places.ts';
import { readRecord } from './record.ts';

/**
 * Runs a program inside a running host as its root, past its sshd, and resolves with what it did, whatever its exit
 * code. Throws sandbox-host-unknown, sandbox-failed where the host does not run.
 */
export async function run(name: string, argv: readonly string[], options: RunOptions = {}): Promise<Output> {
  await readRecord(name);
  const keeper = await keeperOf(name);
  const init = keeper === undefined ? undefined : await initOf(keeper);
  if (init === undefined) {
    throw new DeployError('sandbox-failed', `The sandbox host ${name} is not running.`, {
      hint: `Start it with \`deploy sandbox up ${name}\`.`,
    });
  }
  const enter = ['nsenter', `--target=${init.pid}`, '--mount', '--uts', '--ipc', '--net', '--pid', '--root', '--wd'];
  const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  const environment = ['env', '--ignore-environment', '--chdir=/root', path, 'HOME=/root', 'LANG=C.UTF-8'];
  return await runHere([...enter, '--', ...environment, ...argv], options);
}

// A hardened host refuses root and lets in somebody else with the same key; knocking as root would bring a ban nearer.
async function loginUser({ user, tree, keyFile }: SandboxHost): Promise<string> {
  const [type, key] = (await readFile(`${keyFile}.pub`, 'utf8')).split(' ');
  for (const name of await readdir(`${tree}/home`).catch(() => [])) {
    const keys = await readFile(`${tree}/home/${name}/.ssh/authorized_keys`, 'utf8').catch(() => '');
    if (keys.includes(`${type} ${key}`)) return name;
  }
  return user;
}

/** Logs in over SSH from this terminal, or runs a remote command line there; resolves with its exit code. */
export async function shell(name: string, command: readonly string[] = []): Promise<number> {
  const host = await describeHost(await readRecord(name));
  const hosts = `${hostFolder(name)}/known_hosts`;
  await writeFile(hosts, host.knownHosts, { mode: 0o600 });
  const options = [`UserKnownHostsFile=${hosts}`, 'StrictHostKeyChecking=yes', 'IdentitiesOnly=yes'];
  const child = spawn(
    'ssh',
    [
      '-i',
      host.keyFile,
      ...options.flatMap((option) => ['-o', option]),
      `${await loginUser(host)}@${host.address}`,
      ...command,
    ],
    { stdio: 'inherit' },
  );
  const [code] = await once(child, 'exit');
  return typeof code === 'number' ? code : 1;
}
