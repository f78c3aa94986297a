import * as z from 'zod';
import { readTextFile, type TextFile, textFileChanges } from '#resources/file';
import { type Change, defineKind, type Host } from '#resources/resource';

/** Ubuntu's reads Port out of sshd's own configuration whenever systemd reads its units. */
const GENERATOR = '/usr/lib/systemd/system-generators/sshd-socket-generator';
const DIRECTORY = '/etc/systemd/system/ssh.socket.d';
const DROP_IN = `${DIRECTORY}/50-slipway.conf`;
const ATTRIBUTES = { owner: 'root', group: 'root', mode: '0644' };

const props = z.strictObject({
  port: z.number().int().min(1).max(65_535),
});

interface SocketState {
  /** Undefined where a generator makes it, so that ours would be in its way. */
  readonly dropIn: TextFile | undefined;
  readonly isGenerated: boolean;
  /** Where the socket is told to listen, each port once. */
  readonly ports: readonly number[];
  /** Whether anybody listens on the declared port. */
  readonly listens: boolean;
}

// A port without an address is both families, and stays so where the kernel has no IPv6 (systemd.socket(5)).
function dropInOf(port: number): string {
  return `[Socket]\nListenStream=\nListenStream=${port}\n`;
}

async function read(host: Host, { port }: { port: number }): Promise<SocketState | undefined> {
  const properties = 'LoadState,Listen,NeedDaemonReload';
  const [unit, sockets, generator, dropIn] = await Promise.all([
    host.run(['systemctl', 'show', '--property', properties, 'ssh.socket']),
    host.run(['ss', '-H', '-l', '-t', '-n', `sport = :${port}`]),
    host.stat(GENERATOR),
    readTextFile(host, DROP_IN),
  ]);
  if (!/^LoadState=loaded$/m.test(unit.stdout)) return undefined;
  const ports = [...unit.stdout.matchAll(/^Listen=\S*?(\d+) \(Stream\)$/gm)].map((match) => Number(match[1]));
  return {
    dropIn,
    isGenerated: generator !== undefined,
    ports: [...new Set(ports)],
    listens: sockets.stdout.trim() !== '',
  };
}

function diff(state: SocketState | undefined, { port }: { port: number }): readonly Change[] {
  if (state === undefined) return [{ summary: 'create' }];
  const { dropIn, isGenerated, ports, listens } = state;
  const file = isGenerated ? [] : textFileChanges(dropIn, { content: dropInOf(port), ...ATTRIBUTES });
  const told = ports.length === 1 && ports[0] === port;
  return [
    ...file,
    ...(told ? [] : [{ summary: `port ${ports.join(', ') || 'none'} -> ${port}` }]),
    ...(told && !listens ? [{ summary: `listen on port ${port}` }] : []),
  ];
}

// A socket cannot be bound anew while its service runs, and whoever comes meanwhile would start it; sessions stay. The
// guard starts the socket again should this be interrupted.
async function takeUp(host: Host): Promise<void> {
  await host.must(['systemctl', 'daemon-reload']);
  if ((await host.run(['systemctl', 'is-active', '--quiet', 'ssh.socket'])).exitCode !== 0) return;
  await host.must(['systemctl', 'stop', 'ssh.socket']);
  await host.must(['systemctl', 'stop', 'ssh.service']);
  await host.must(['systemctl', 'start', 'ssh.socket']);
}

/** The port on which systemd listens for sshd, where sshd is started by its socket and its own Port counts for nothing. */
export const sshSocketKind = defineKind({
  kind: 'ssh-socket',
  summary: 'The port on which systemd listens for sshd, where sshd is started by its socket.',
  props,
  id: () => 'ssh.socket',
  read,
  diff,
  async apply(host, { port }, state) {
    if (state?.isGenerated !== true) await host.writeFile(DROP_IN, dropInOf(port), ATTRIBUTES);
    await takeUp(host);
  },
  footprint: () => ({}),
  async remove(host) {
    if ((await host.stat(DROP_IN)) !== undefined) {
      await host.removeFile(DROP_IN);
      await host.must(['rmdir', '--ignore-fail-on-non-empty', '--', DIRECTORY]);
    }
    await takeUp(host);
  },
  guarded: true,
  preexisting: 'remove',
});
