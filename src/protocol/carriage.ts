import type { Socket } from 'node:net';
import { type Frame, frame } from './frames.ts';

/** What travels in a tunnel; each frame's content begins with the number of its connection, in four bytes. */
export const CARRIED = {
  /** To the host: somebody has connected. */
  open: 16,
  /** To the laptop: the container has accepted. */
  opened: 17,
  data: 18,
  /** Nothing more comes from this side. */
  end: 19,
  /** So many bytes were taken, as a number in four bytes: so many more may be sent. */
  taken: 20,
  /** The connection is closed; the content says why where something went wrong. */
  closed: 21,
} as const;

/** Bytes of one connection that may be on their way: one that nobody reads must not hold up the others. */
const WINDOW = 256 * 1024;

/** Bytes of the connection's number. */
const NUMBER = 4;

function numbered(type: number, connection: number, content: Buffer | string = ''): Buffer {
  const head = Buffer.alloc(NUMBER);
  head.writeUInt32BE(connection);
  return frame(type, Buffer.concat([head, Buffer.from(content as string)]));
}

function count(bytes: number): Buffer {
  const content = Buffer.alloc(4);
  content.writeUInt32BE(bytes);
  return content;
}

/** A frame of a tunnel, without its connection's number. */
export function carriedFrame({ type, content }: Frame): Frame & { readonly connection: number } {
  return { type, connection: content.readUInt32BE(), content: content.subarray(NUMBER) };
}

interface Carried {
  readonly socket: Socket;
  /** Bytes that the other side has not taken yet. */
  onTheWay: number;
}

/** One side of a tunnel: many connections carried over one stream of frames. */
export class Carriage {
  readonly #send: (bytes: Buffer) => void;
  readonly #carried = new Map<number, Carried>();

  constructor(send: (bytes: Buffer) => void) {
    this.#send = send;
  }

  /** Says something of a connection to the other side. */
  say(type: number, connection: number, content: Buffer | string = ''): void {
    this.#send(numbered(type, connection, content));
  }

  /** Carries what a socket says, and hands it what the other side says, until both have ended. */
  carry(connection: number, socket: Socket): void {
    const carried: Carried = { socket, onTheWay: 0 };
    this.#carried.set(connection, carried);
    socket.on('data', (chunk: Buffer) => {
      this.say(CARRIED.data, connection, chunk);
      carried.onTheWay += chunk.length;
      if (carried.onTheWay >= WINDOW) socket.pause();
    });
    socket.once('end', () => this.say(CARRIED.end, connection));
    socket.once('close', () => {
      if (this.#carried.delete(connection)) this.say(CARRIED.closed, connection);
    });
    socket.on('error', () => undefined);
    socket.resume();
  }

  /** Takes in what the other side says of a connection that is carried. */
  hear({ type, connection, content }: ReturnType<typeof carriedFrame>): void {
    const carried = this.#carried.get(connection);
    if (carried === undefined) return;
    const { socket } = carried;
    if (type === CARRIED.data) {
      socket.write(content, (error) => {
        if (!error) this.say(CARRIED.taken, connection, count(content.length));
      });
    } else if (type === CARRIED.end) socket.end();
    else if (type === CARRIED.taken) {
      carried.onTheWay -= content.readUInt32BE();
      if (carried.onTheWay < WINDOW) socket.resume();
    } else if (type === CARRIED.closed) {
      this.#carried.delete(connection);
      socket.destroySoon();
    }
  }

  /** Breaks off all connections. */
  end(): void {
    for (const { socket } of this.#carried.values()) socket.destroy();
  }
}
