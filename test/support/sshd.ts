import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Output, run as runHere } from '#core/run';
import { run, type SandboxHost } from '#sandbox/sandbox';

type KeyType = 'ed25519' | 'ecdsa' | 'rsa';

/** An OpenSSH server of its own inside a sandbox host, beside the host's. */
export interface Sshd {
  readonly address: string;
  readonly port: number;
  /** A known_hosts file here that pins its first host key. */
  readonly knownHosts: string;
  /** A host key's, as `ssh-keygen -l` prints it. */
  fingerprint(type: KeyType): Promise<string>;
  /** What it logged. */
  log(): Promise<string>;
  /** Kills it and every connection it serves. */
  kill(): Promise<void>;
  /** Starts it again with new host keys, as a reinstalled host has. */
  reinstall(): Promise<void>;
}

export interface SshdOptions {
  readonly port: number;
  /** Public keys, one authorized_keys line each. */
  readonly authorized?: readonly string[];
  /** Further lines of sshd_config; the first value of an option wins. */
  readonly lines?: readonly string[];
  readonly hostKeys?: readonly KeyType[];
  /** Where it listens; the host's IPv4 address by default. */
  readonly address?: string;
}

/** A key pair made with ssh-keygen; gives the private key's path. */
export async function makeKey(
  folder: string,
  name: string,
  options: { readonly type?: string; readonly passphrase?: string; readonly format?: string } = {},
): Promise<{ readonly file: string; readonly publicKey: string }> {
  const file = join(folder, name);
  const [type = 'ed25519', bits] = (options.type ?? 'ed25519').split(':');
  const argv = ['ssh-keygen', '-q', '-t', type, '-N', options.passphrase ?? '', '-C', name, '-f', file];
  if (bits !== undefined) argv.push('-b', bits);
  if (options.format !== undefined) argv.push('-m', options.format);
  done(await runHere(argv));
  return { file, publicKey: readFileSync(`${file}.pub`, 'utf8').trim() };
}

/** Starts a server inside a sandbox host; `folder` is a place here for its known_hosts file. */
export async function startSshd(host: SandboxHost, folder: string, options: SshdOptions): Promise<Sshd> {
  const address = options.address ?? host.address;
  const { port } = options;
  const own = `/srv/sshd-${port}`;
  const types = options.hostKeys ?? ['ed25519'];
  const knownHosts = join(folder, `known_hosts_${port}`);
  const shown = address.includes(':') ? `[${address}]` : address;
  const config = [
    ...(options.lines ?? []),
    `ListenAddress ${shown}:${port}`,
    ...types.map((type) => `HostKey ${own}/host_${type}`),
    `AuthorizedKeysFile ${own}/authorized_keys`,
    'PermitRootLogin yes',
    'UsePAM yes',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    // Debian 13's server would soon lock out a test that fails on purpose.
    'PerSourcePenalties no',
    'LogLevel DEBUG1',
    `PidFile ${own}/pid`,
  ];
  const inside = async (script: string, input = '') => done(await run(host.name, ['sh', '-ec', script], { input }));
  const start = async () => {
    await inside(`mkdir -p /run/sshd; /usr/sbin/sshd -f ${own}/sshd_config -E ${own}/log
      for try in $(seq 100); do test -s ${own}/pid && exit 0; sleep 0.02; done; cat ${own}/log >&2; exit 1`);
  };
  const makeHostKeys = async () => {
    for (const type of types) await inside(`ssh-keygen -q -t ${type} -N '' -f ${own}/host_${type} </dev/null`);
  };
  await inside(`rm -rf ${own}; mkdir -p ${own}`);
  await inside(`cat >${own}/authorized_keys`, `${(options.authorized ?? []).join('\n')}\n`);
  await inside(`cat >${own}/sshd_config`, `${config.join('\n')}\n`);
  await makeHostKeys();
  await start();
  const [type, key] = (await inside(`cat ${own}/host_${types[0]}.pub`)).split(' ');
  writeFileSync(knownHosts, `[${address}]:${port} ${type} ${key}\n`);
  const kill = async () => {
    // The listener, who serves each connection, and in a user's login the one who serves the user.
    await inside(`pid=$(cat ${own}/pid); rm ${own}/pid; children=$(pgrep -d, -P $pid || echo $pid)
      kill -9 $pid $(pgrep -P $pid -f sshd) $(pgrep -P $children -f sshd) 2>/dev/null || true`);
  };
  return {
    address,
    port,
    knownHosts,
    fingerprint: async (of) => (await inside(`ssh-keygen -l -f ${own}/host_${of}.pub`)).split(' ')[1] ?? '',
    log: () => inside(`cat ${own}/log`),
    kill,
    reinstall: async () => {
      await kill();
      await inside(`rm -f ${own}/host_*`);
      await makeHostKeys();
      await start();
    },
  };
}

function done(output: Output): string {
  if (output.exitCode !== 0) throw new Error(`${output.argv.join(' ')}: ${output.stderr}`);
  return output.stdout;
}
