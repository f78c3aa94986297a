import { connect, createServer, type Socket } from 'node:net';

/** A TCP proxy on loopback that makes its target look far away. */
export interface DelayProxy {
  readonly port: number;
  /** How often a client spoke again after it had heard something: a count of turns, over all connections. */
  turns(): number;
  /** Bytes that clients have sent, over all connections. */
  sent(): number;
  /** Breaks every connection with a reset, as a firewall or a crashed machine does. */
  reset(): void;
  /** Passes nothing on any more, and closes nothing: a cable that is cut. */
  freeze(): void;
  stop(): Promise<void>;
}

export interface DelayProxyOptions {
  readonly host?: string;
  readonly port: number;
  /** Milliseconds that a byte takes each way; half of a round trip. */
  readonly oneWay: number;
  /** Where to listen; any free port of 127.0.0.1 by default. */
  readonly listen?: { readonly host?: string; readonly port?: number };
}

/**
 * Starts a proxy that delays each direction by a fixed time without limiting its rate. The round trip of TCP's own
 * handshake, which loopback does not have, is added before the first bytes: the server hears of a connection after one
 * and a half round trips, as it does on a real line.
 */
export async function startDelayProxy(options: DelayProxyOptions): Promise<DelayProxy> {
  const { oneWay } = options;
  const sockets = new Set<Socket>();
  let turns = 0;
  let sent = 0;
  let frozen = false;
  const track = (socket: Socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  };
  const server = createServer({ noDelay: true }, (near) => {
    const opened = performance.now() + 2 * oneWay;
    let heard = true;
    track(near);
    const far = new Promise<Socket>((resolve) => {
      setTimeout(() => {
        const socket = connect({ host: options.host ?? '127.0.0.1', port: options.port, noDelay: true });
        track(socket);
        socket.once('error', () => near.destroy());
        carry(socket, Promise.resolve(near), 0, () => {
          heard = true;
        });
        resolve(socket);
      }, 3 * oneWay);
    });
    carry(near, far, opened, (bytes) => {
      sent += bytes;
      if (heard) turns += 1;
      heard = false;
    });
  });

  function carry(from: Socket, target: Promise<Socket>, notBefore: number, seen: (bytes: number) => void): void {
    const queue: { due: number; deliver: (to: Socket) => void }[] = [];
    let waiting = false;
    const wait = () => {
      if (waiting || frozen || queue[0] === undefined) return;
      waiting = true;
      setTimeout(flush, Math.max(0, queue[0].due - performance.now()));
    };
    const flush = async () => {
      const to = await target;
      waiting = false;
      while (!frozen && queue[0] !== undefined && queue[0].due <= performance.now()) queue.shift()?.deliver(to);
      wait();
    };
    const later = (deliver: (to: Socket) => void) => {
      queue.push({ due: Math.max(performance.now(), notBefore) + oneWay, deliver });
      wait();
    };
    from.on('data', (chunk: Buffer) => {
      if (frozen) return;
      seen(chunk.length);
      later((to) => {
        if (to.write(chunk) || from.isPaused()) return;
        from.pause();
        to.once('drain', () => from.resume());
      });
    });
    from.once('end', () => later((to) => to.end()));
    from.once('close', (failed) => later((to) => (failed ? to.resetAndDestroy() : to.destroySoon())));
  }

  const { host = '127.0.0.1', port = 0 } = options.listen ?? {};
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as { port: number }).port,
    turns: () => turns,
    sent: () => sent,
    reset: () => {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    freeze: () => {
      frozen = true;
    },
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
