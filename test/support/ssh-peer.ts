import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ssh2, { type Connection as PeerConnection, type ServerChannel } from 'ssh2';
import type { ConnectOptions, Target } from '#ssh/connection';
import { hostKey, knownHostsLine } from '#ssh/known-hosts';

/** What the peer does, for faults that a real sshd cannot be made to show. */
export interface PeerOptions {
  /** What it calls itself. */
  readonly ident?: string;
  readonly authenticate?: (context: Parameters<Parameters<PeerConnection['on']>[1]>[0]) => void;
  readonly command?: (command: string, channel: ServerChannel, peer: PeerConnection) => void;
  readonly refuse?: 'exec' | 'session';
  readonly connected?: (peer: PeerConnection) => void;
}

/** An SSH server in this process, speaking the real protocol over a real socket, that misbehaves as it is told. */
export interface Peer {
  readonly target: Target;
  readonly options: ConnectOptions;
  /** The sockets of those who are connected. */
  readonly sockets: () => readonly Socket[];
  stop(): Promise<void>;
}

/** Starts a peer that lets anybody in who signs. */
export async function startPeer(options: PeerOptions = {}): Promise<Peer> {
  const folder = mkdtempSync(join(tmpdir(), 'ssh-peer-'));
  const host = keyPair();
  const user = keyPair();
  const identityFile = join(folder, 'id');
  writeFileSync(identityFile, user.private, { mode: 0o600 });
  const server = new ssh2.Server({ hostKeys: [host.private], ident: options.ident ?? 'OpenSSH_9.9' }, (peer) => {
    options.connected?.(peer);
    peer.on('error', () => undefined);
    peer.on('authentication', (context) => {
      if (options.authenticate !== undefined) options.authenticate(context as never);
      else if (context.method === 'publickey') context.accept();
      else context.reject(['publickey']);
    });
    peer.on('session', (accept, reject) => {
      if (options.refuse === 'session') return void reject();
      accept().on('exec', (take, refuse, { command }) => {
        if (options.refuse === 'exec') return void refuse();
        const channel = take();
        channel.on('error', () => undefined);
        if (options.command !== undefined) options.command(command, channel, peer);
        else {
          channel.exit(0);
          channel.end();
        }
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const sockets = new Set<Socket>();
  (server as unknown as { _srv: { on(event: string, listener: (socket: Socket) => void): void } })._srv.on(
    'connection',
    (socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    },
  );
  const knownHosts = join(folder, 'known_hosts');
  const blob = Buffer.from(host.public.split(' ')[1] ?? '', 'base64');
  writeFileSync(knownHosts, `${knownHostsLine('127.0.0.1', port, hostKey(blob))}\n`);
  return {
    target: { name: 'peer', address: '127.0.0.1', port, user: 'root', identityFile },
    options: { knownHosts: [knownHosts], agent: false, configFile: join(folder, 'none'), deadline: 5 },
    sockets: () => [...sockets],
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      rmSync(folder, { recursive: true });
    },
  };
}

// One in some hundred pairs that ssh2 makes is one that it cannot read again.
function keyPair(): { private: string; public: string } {
  for (;;) {
    const pair = ssh2.utils.generateKeyPairSync('ed25519');
    if (!(ssh2.utils.parseKey(pair.private) instanceof Error)) return pair;
  }
}
