/** What travels while a command runs in a container; the numbers are the frames' first byte. */
export const FRAME = {
  /** To the host, first of all: what to run, as JSON. */
  request: 0,
  /** To the host: what is typed, or piped in. */
  input: 1,
  /** To the host: the terminal's size, as JSON. */
  resize: 2,
  /** To the host: the input has ended. A connection that ends without it was lost. */
  inputEnd: 3,
  stdout: 4,
  stderr: 5,
  /** To the laptop, last of all: the exit code, or why there is none, as JSON. */
  ended: 6,
} as const;

/** One message of a conversation: its type in one byte, its length in four, its content. */
export interface Frame {
  readonly type: number;
  readonly content: Buffer;
}

const HEADER = 5;

/** A message as it goes over the wire. */
export function frame(type: number, content: Buffer | string = ''): Buffer {
  const body = Buffer.from(content as string);
  const header = Buffer.alloc(HEADER);
  header.writeUInt8(type);
  header.writeUInt32BE(body.length, 1);
  return Buffer.concat([header, body]);
}

/** The messages in a stream of bytes, however it was cut on the way. */
export async function* frames(chunks: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= HEADER) {
      const end = HEADER + rest.readUInt32BE(1);
      if (rest.length < end) break;
      yield { type: rest.readUInt8(), content: rest.subarray(HEADER, end) };
      rest = rest.subarray(end);
    }
  }
}
