import { createServer, type Server } from 'node:net';
import { Readable } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { connect } from '#ssh/connection';
import { startDelayProxy } from '#test/support/delay-proxy';
import { type Peer, type PeerOptions, startPeer } from '#test/support/ssh-peer';

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function peer(options: PeerOptions = {}): Promise<Peer> {
  const started = await startPeer(options);
  stops.push(() => started.stop());
  return started;
}

async function login(options: PeerOptions = {}, ahead?: string, keepAlive?: number) {
  const started = await peer(options);
  const connection = await connect(started.target, { ...started.options, ahead, keepAlive });
  stops.push(() => connection.close());
  return { ...started, connection };
}

async function listener(serve: Parameters<typeof createServer>[1]): Promise<number> {
  const server: Server = createServer(serve);
  const sockets = new Set<{ destroy(): void }>();
  server.on('connection', (socket) => sockets.add(socket.on('error', () => undefined)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  stops.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as { port: number }).port;
}

async function reach(port: number, options: { deadline?: number; signal?: AbortSignal } = {}) {
  const { target, options: base } = await peer();
  return connect({ ...target, port }, { ...base, ...options });
}

describe('a host that cannot be reached', () => {
  it('is silent', async () => {
    const silent = reach(await listener(() => undefined), { deadline: 0.3 });
    await expect(silent).rejects.toMatchObject({ code: 'host-unreachable', exitCode: 6, host: 'peer' });
  });
  it('closes the connection at once', async () => {
    await expect(reach(await listener((socket) => socket.end()))).rejects.toMatchObject({ code: 'host-unreachable' });
  });
  it('resets the connection at once', async () => {
    const reset = reach(await listener((socket) => socket.resetAndDestroy()));
    await expect(reset).rejects.toMatchObject({ code: 'host-unreachable' });
  });
  it('refuses the connection', async () => {
    const port = await listener(() => undefined);
    await stops.pop()?.();
    await expect(reach(port)).rejects.toMatchObject({
      code: 'host-unreachable',
      message: expect.stringMatching(/^peer \(127\.0\.0\.1:\d+\) refuses the connection/),
    });
  });
  it('has a name that nobody knows', async () => {
    const { target, options } = await peer();
    const unknown = connect({ ...target, address: 'host.invalid' }, options);
    await expect(unknown).rejects.toMatchObject({ code: 'host-unreachable', message: expect.stringMatching(/name/) });
  });
  it('is no SSH server', async () => {
    const web = reach(await listener((socket) => void socket.write(`${'HTTP/1.1 400 Bad Request\r\n'.repeat(2000)}`)));
    await expect(web).rejects.toMatchObject({ code: expect.stringMatching(/^(handshake-failed|host-unreachable)$/) });
  });
  it('speaks another protocol version', async () => {
    const old = reach(await listener((socket) => void socket.write('SSH-1.5-old\r\n')));
    await expect(old).rejects.toMatchObject({ code: 'handshake-failed' });
  });
  it('falls silent in the middle of the handshake', async () => {
    const half = reach(await listener((socket) => void socket.write('SSH-2.0-OpenSSH_9.9\r\n')), { deadline: 0.3 });
    await expect(half).rejects.toMatchObject({ code: 'host-unreachable' });
  });
  it('is given up on request', async () => {
    const controller = new AbortController();
    const silent = reach(await listener(() => undefined), { signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    await expect(silent).rejects.toMatchObject({ code: 'interrupted', exitCode: 130 });
  });
});

it('waits for a host that takes its time to say who it is', async () => {
  const far = await peer();
  const proxy = await startDelayProxy({ port: far.target.port ?? 0, oneWay: 100 });
  stops.push(() => proxy.stop());
  await expect(connect({ ...far.target, port: proxy.port }, far.options)).rejects.toMatchObject({
    code: 'host-key-unknown',
  });
});

describe('a connection that breaks', () => {
  const endless: PeerOptions = { command: (_command, channel) => void channel.write('begun\n') };

  it('while idle: the next command says so, and nothing crashes', async () => {
    const { connection, sockets } = await login();
    for (const socket of sockets()) socket.resetAndDestroy();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const next = connection.exec('true');
    await expect(next).rejects.toMatchObject({ code: 'connection-lost', hint: expect.stringMatching(/deploy attach/) });
    await expect(connection.open('true')).rejects.toMatchObject({ code: 'connection-lost' });
  });

  it.each([
    ['by a reset', (peer: Peer) => peer.sockets().forEach((socket) => void socket.resetAndDestroy())],
    ['by an end', (peer: Peer) => peer.sockets().forEach((socket) => void socket.destroy())],
    [
      'by bytes that are none of the host',
      (peer: Peer) => peer.sockets().forEach((socket) => void socket.write('xx'.repeat(99))),
    ],
  ])('in the middle of a command, %s', async (_how, breakIt) => {
    const started = await login(endless);
    const running = started.connection.exec('sleep');
    const session = await started.connection.open('sleep');
    const lines = session.lines()[Symbol.asyncIterator]();
    expect(await lines.next()).toEqual({ done: false, value: 'begun' });
    breakIt(started);
    await expect(running).rejects.toMatchObject({ code: 'connection-lost', exitCode: 6 });
    await expect(lines.next()).rejects.toMatchObject({ code: 'connection-lost' });
    await expect(session.closed).rejects.toMatchObject({ code: 'connection-lost' });
    await expect(session.write('more')).rejects.toMatchObject({ code: 'connection-lost' });
  });

  it('in the middle of an upload', async () => {
    const started = await login({ command: () => undefined });
    const upload = started.connection.upload(Buffer.alloc(30_000_000), '/x');
    setTimeout(() => started.sockets().forEach((socket) => void socket.resetAndDestroy()), 100);
    await expect(upload).rejects.toMatchObject({ code: 'connection-lost' });
  });

  it('without a word, as when a cable is cut: signs of life are missed', async () => {
    const far = await peer(endless);
    const proxy = await startDelayProxy({ port: far.target.port ?? 0, oneWay: 0 });
    stops.push(() => proxy.stop());
    const target = { ...far.target, port: proxy.port };
    const { fetchHostKey, pin } = await import('#ssh/connection');
    pin(far.options.knownHosts[0] ?? '', target, await fetchHostKey(target, far.options));
    const connection = await connect(target, { ...far.options, keepAlive: 0.1 });
    const running = connection.exec('sleep');
    setTimeout(() => proxy.freeze(), 50);
    await expect(running).rejects.toMatchObject({ code: 'connection-lost' });
    await connection.close();
  });

  it('because we close it: what runs is told, and closing twice does no harm', async () => {
    const { connection } = await login(endless);
    const running = connection.exec('sleep');
    running.catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 30));
    await connection.close();
    await connection.close();
    await expect(running).rejects.toMatchObject({ code: 'connection-lost', message: expect.stringMatching(/closed/) });
  });
});

describe('a command', () => {
  it('keeps its deadline', async () => {
    const { connection } = await login({ command: () => undefined });
    const stuck = connection.exec('sleep', { timeout: 0.1 });
    await expect(stuck).rejects.toMatchObject({ code: 'deadline-exceeded', message: expect.stringMatching(/0\.1 s/) });
    const controller = new AbortController();
    const aborted = connection.exec('sleep', { signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    await expect(aborted).rejects.toMatchObject({ code: 'interrupted' });
  });

  it('that ends without telling how is a failure, not a success', async () => {
    const { connection } = await login({ command: (_command, channel) => void channel.end() });
    await expect(connection.exec('x')).rejects.toMatchObject({ code: 'remote-command-killed' });
    expect(await (await connection.open('x')).closed).toEqual({ code: null });
  });

  it('that is ended by a signal is a failure', async () => {
    const { connection } = await login({
      command: (_command, channel) => {
        channel.stderr.write('Killed\n');
        channel.exit('KILL');
        channel.end();
      },
    });
    await expect(connection.exec('x')).rejects.toMatchObject({
      code: 'remote-command-killed',
      message: 'a command on peer was ended by SIGKILL: Killed',
    });
  });

  it('that the host does not run is told apart', async () => {
    const { connection } = await login({ refuse: 'exec' });
    await expect(connection.exec('x')).rejects.toMatchObject({ code: 'session-refused' });
    const other = await login({ refuse: 'session' });
    await expect(other.connection.exec('x')).rejects.toMatchObject({ code: 'session-refused' });
  });

  it('that prints too much is stopped', async () => {
    const { connection } = await login({ command: (_command, channel) => void channel.write(Buffer.alloc(2000)) });
    await expect(connection.exec('x', { maxOutput: 1000 })).rejects.toMatchObject({ code: 'remote-output-too-large' });
  });

  it('whose output is cut inside a character keeps it, and keeps its white space', async () => {
    const said = Buffer.from('  grüße, 世界 🚀\n\n');
    const { connection } = await login({
      command: (_command, channel) => {
        const byte = (at: number) => {
          if (at < said.length) return void channel.write(said.subarray(at, at + 1), () => setImmediate(byte, at + 1));
          channel.exit(0);
          channel.end();
        };
        byte(0);
      },
    });
    expect(await connection.exec('x')).toEqual({ code: 0, stdout: said.toString(), stderr: '' });
    const lines: string[] = [];
    for await (const line of (await connection.open('x')).lines()) lines.push(line);
    expect(lines).toEqual(['  grüße, 世界 🚀', '']);
  });

  it('whose input breaks is stopped', async () => {
    const { connection } = await login({ command: () => undefined });
    async function* breaking() {
      yield 'one';
      throw new Error('no more');
    }
    await expect(connection.exec('x', { input: Readable.from(breaking()) })).rejects.toThrow('no more');
  });

  it('that does not read what it is given ends all the same', async () => {
    const { connection } = await login({
      command: (_command, channel) => {
        channel.exit(3);
        channel.end();
      },
    });
    expect((await connection.exec('x', { input: Buffer.alloc(20_000_000) })).code).toBe(3);
  });
});

describe('many commands at once', () => {
  it('are held to what one connection bears', async () => {
    let now = 0;
    let most = 0;
    const { connection } = await login({
      command: (command, channel) => {
        most = Math.max(most, ++now);
        setTimeout(() => {
          now -= 1;
          channel.write(command);
          channel.exit(0);
          channel.end();
        }, 5);
      },
    });
    const outputs = await Promise.all(Array.from({ length: 40 }, (_, index) => connection.exec(`${index}`)));
    expect(outputs.map((output) => output.stdout)).toEqual(Array.from({ length: 40 }, (_, index) => `${index}`));
    expect(most).toBeLessThanOrEqual(8);
    expect(most).toBeGreaterThan(1);
  });
});

describe('what is sent before it is asked for', () => {
  const echo: PeerOptions = {
    command: (command, channel) => {
      channel.write(command);
      channel.exit(0);
      channel.end();
    },
  };
  const logged = (started: { commands: string[] }): PeerOptions => ({
    command: (command, channel, from) => {
      started.commands.push(command);
      echo.command?.(command, channel, from);
    },
  });

  it('is run once, by the first who asks for it', async () => {
    const seen = { commands: [] as string[] };
    const { connection } = await login(logged(seen), 'first');
    expect((await connection.exec('first')).stdout).toBe('first');
    expect((await connection.exec('first')).stdout).toBe('first');
    expect((await connection.exec('second')).stdout).toBe('second');
    expect(seen.commands).toEqual(['first', 'first', 'second']);
  });

  it('is not sent early to a host that is no OpenSSH', async () => {
    const { connection } = await login({ ...echo, ident: 'dropbear_2024' }, 'first');
    expect((await connection.exec('first')).stdout).toBe('first');
  });

  it('finds its channel also where the host counts from another number', async () => {
    const { connection } = await login(
      {
        ...echo,
        connected: (from) => {
          (from as unknown as { _chanMgr: { _cur: number } })._chanMgr._cur = 6;
        },
      },
      'first',
    );
    expect((await connection.exec('first')).stdout).toBe('first');
  });

  it('is asked in turns after all where the host takes offence', async () => {
    let connections = 0;
    const { connection } = await login(
      {
        ...echo,
        connected: (from) => {
          connections += 1;
          const { _handlers: handlers } = (from as unknown as { _protocol: { _handlers: Record<string, unknown> } })
            ._protocol;
          const open = handlers['CHANNEL_OPEN'] as (...words: unknown[]) => void;
          let granted = false;
          const success = (from as unknown as { _protocol: { authSuccess(): void } })._protocol;
          const grant = success.authSuccess.bind(success);
          success.authSuccess = () => {
            // Whoever asks within this moment asked too early.
            grant();
            setTimeout(() => {
              granted = true;
            }, 20);
          };
          handlers['CHANNEL_OPEN'] = (...words: unknown[]) => {
            if (granted) open(...words);
            else from.end();
          };
        },
      },
      'first',
    );
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(connections).toBe(2);
    expect((await connection.exec('first')).stdout).toBe('first');
  });

  it('is taken back where the first key is refused', async () => {
    const seen = { commands: [] as string[] };
    let refusals = 0;
    const started = await peer({
      ...logged(seen),
      authenticate: (context) => {
        const asked = context as unknown as { method: string; accept(): void; reject(methods: string[]): void };
        if (asked.method === 'publickey') {
          refusals += 1;
          asked.reject(['password']);
        } else asked.accept();
      },
    });
    const options = { ...started.options, ahead: 'first', password: async () => 'secret' };
    const connection = await connect(started.target, options);
    stops.push(() => connection.close());
    expect(refusals).toBe(1);
    expect((await connection.exec('first')).stdout).toBe('first');
  });
});

describe('what is said to a person', () => {
  it('is silent about the clock while they type', async () => {
    const started = await peer({
      authenticate: (context) => {
        const asked = context as unknown as { method: string; accept(): void; reject(methods: string[]): void };
        if (asked.method === 'password') asked.accept();
        else asked.reject(['password']);
      },
    });
    const password = () => new Promise<string>((resolve) => setTimeout(resolve, 700, 'typed slowly'));
    const connection = await connect(started.target, { ...started.options, deadline: 0.5, password });
    await connection.close();
  });
});
