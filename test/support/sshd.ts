import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { run } from '#core/run';

/** A real OpenSSH server on loopback, with a configuration, host keys and authorized keys of its own. */
export interface Sshd {
  readonly port: number;
  readonly folder: string;
  /** The server that accepts connections. */
  readonly pid: number;
  /** A known_hosts file that pins this server's ed25519 key. */
  readonly knownHosts: string;
  /** The path of the private host key of a type. */
  hostKeyFile(type: 'ed25519' | 'ecdsa' | 'rsa'): string;
  log(): string;
  stop(): Promise<void>;
}

export interface SshdOptions {
  /** Public keys, one authorized_keys line each. */
  readonly authorized?: readonly string[];
  /** Further lines of sshd_config; the first value wins over the rig's own. */
  readonly lines?: readonly string[];
  readonly hostKeys?: readonly ('ed25519' | 'ecdsa' | 'rsa')[];
  readonly address?: string;
  readonly port?: number;
}

const BINARY = '/usr/sbin/sshd';

/** Why these tests cannot run here; undefined where they can. */
export function sshdMissing(): string | undefined {
  if (!existsSync(BINARY)) return 'openssh-server is not installed: apt-get install openssh-server';
  return undefined;
}

/** A port of loopback that nobody uses at the moment. */
export async function freePort(address = '127.0.0.1'): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A key pair made with ssh-keygen; gives the private key's path. */
export async function makeKey(
  folder: string,
  name: string,
  options: { type?: string; passphrase?: string; comment?: string; format?: string } = {},
): Promise<{ file: string; publicKey: string }> {
  const file = join(folder, name);
  const type = (options.type ?? 'ed25519').split(':');
  const argv = ['ssh-keygen', '-q', '-t', type[0] ?? '', '-N', options.passphrase ?? '', '-C', options.comment ?? name];
  if (type[1] !== undefined) argv.push('-b', type[1]);
  if (options.format !== undefined) argv.push('-m', options.format);
  const made = await run([...argv, '-f', file]);
  if (made.exitCode !== 0) throw new Error(made.stderr);
  return { file, publicKey: readFileSync(`${file}.pub`, 'utf8').trim() };
}

/** Starts a server as the current user and waits until it answers. */
export async function startSshd(options: SshdOptions = {}): Promise<Sshd> {
  const folder = mkdtempSync(join(tmpdir(), 'sshd-'));
  const address = options.address ?? '127.0.0.1';
  const port = options.port ?? (await freePort(address));
  const hostKeys = options.hostKeys ?? ['ed25519'];
  for (const type of hostKeys) await makeKey(folder, `host_${type}`, { type: type === 'rsa' ? 'rsa:2048' : type });
  writeFileSync(join(folder, 'authorized_keys'), `${(options.authorized ?? []).join('\n')}\n`, { mode: 0o600 });
  chmodSync(folder, 0o700);
  const shown = address.includes(':') ? `[${address}]` : address;
  const config = [
    ...(options.lines ?? []),
    `ListenAddress ${shown}:${port}`,
    ...hostKeys.map((type) => `HostKey ${join(folder, `host_${type}`)}`),
    `PidFile ${join(folder, 'pid')}`,
    `AuthorizedKeysFile ${join(folder, 'authorized_keys')}`,
    'StrictModes no',
    'UsePAM no',
    'PermitRootLogin yes',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PerSourcePenalties no',
    'Subsystem sftp /nonexistent',
    'LogLevel DEBUG1',
  ].filter((line) => !line.startsWith('PerSourcePenalties'));
  writeFileSync(join(folder, 'sshd_config'), `${config.join('\n')}\n`);
  // Privilege separation needs this folder, which systemd makes where sshd runs as a service.
  mkdirSync('/run/sshd', { recursive: true });
  const log = join(folder, 'log');
  const server = spawn(BINARY, ['-D', '-f', join(folder, 'sshd_config'), '-E', log], { stdio: 'ignore' });
  await answers(server, address, port, log);
  const knownHosts = join(folder, 'known_hosts');
  const name = port === 22 ? address : `[${address}]:${port}`;
  const publicKey = hostKeys.length === 0 ? '' : readFileSync(join(folder, `host_${hostKeys[0]}.pub`), 'utf8');
  writeFileSync(knownHosts, `${name} ${publicKey.split(' ').slice(0, 2).join(' ')}\n`);
  return {
    port,
    folder,
    pid: server.pid ?? 0,
    knownHosts,
    hostKeyFile: (type) => join(folder, `host_${type}`),
    log: () => readFileSync(log, 'utf8'),
    stop: async () => {
      await ended(server);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function answers(server: ChildProcess, address: string, port: number, log: string): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    if (server.exitCode !== null) throw new Error(`sshd ended: ${readFileSync(log, 'utf8')}`);
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, address, () => {
        socket.destroy();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`sshd does not answer on ${address}:${port}`);
}

async function ended(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const exit = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGTERM');
  await exit;
}

/** The name of the user that the tests, and so the servers, run as. */
export const me = userInfo().username;
