import { createReadStream, statSync } from 'node:fs';
import { Readable } from 'node:stream';
import { DeployError } from '#core/errors';
import { quote } from '#core/quote';
import type { ExecOptions } from '#ssh/connection';
import type { Output } from '#ssh/session';

export interface UploadOptions {
  /** 0o644 by default. */
  readonly mode?: number | undefined;
  /** Called with the bytes sent so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
  /** Seconds, 600 by default. */
  readonly timeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

type Source = string | Buffer | Readable;

const DEADLINE = 600;
const PIECE = 256 * 1024;

// $1 is the temporary file, $2 the final one, $3 its mode, $4 its size.
const WRITE = 'umask 077 && cat >"$1"';
// Where the connection breaks, `cat` sees the end of its input like any other: only a whole file is moved.
const MOVE = 'test "$(stat -c %s "$1")" = "$4" && chmod "$3" "$1" && mv -fT "$1" "$2"';
const UNDO = '{ rm -f "$1"; exit 1; }';

/**
 * Writes a file on a host, given a way to run commands there, from a local path, bytes or a stream. It appears whole
 * or not at all; a stream, whose size shows only at its end, takes one more round trip.
 */
export async function upload(
  exec: (command: string, options: ExecOptions) => Promise<Output>,
  host: string,
  source: Source,
  path: string,
  options: UploadOptions = {},
): Promise<void> {
  const temporary = `${path}.${Date.now().toString(36)}${Math.random().toString(36).slice(2, 8)}.part`;
  const mode = (options.mode ?? 0o644).toString(8);
  const size = sizeOf(source);
  let sent = 0;
  async function* counted() {
    for await (const chunk of piecesOf(source)) {
      sent += chunk.length;
      options.onProgress?.(sent);
      yield chunk;
    }
  }
  const run = async (script: string, total: number, input?: Readable) => {
    const words = [quote(`${script} || ${UNDO}`), 'upload', quote(temporary), quote(path), mode, String(total)];
    const limits = { timeout: options.timeout ?? DEADLINE, signal: options.signal };
    const { code, stderr } = await exec(`sh -c ${words.join(' ')}`, { ...limits, input });
    if (code === 0) return;
    throw new DeployError('upload-failed', `${path} could not be written on ${host}: ${stderr.trim()}`, {
      hint: `Check the free space and who may write to the folder: df -h and ls -ld of ${path} on the host.`,
      host,
    });
  };
  const input = Readable.from(counted(), { objectMode: false });
  if (size !== undefined) return run(`${WRITE} && ${MOVE}`, size, input);
  await run(WRITE, 0, input);
  await run(MOVE, sent);
}

function sizeOf(source: Source): number | undefined {
  if (Buffer.isBuffer(source)) return source.length;
  return typeof source === 'string' ? statSync(source).size : undefined;
}

async function* piecesOf(source: Source): AsyncGenerator<Buffer> {
  if (Buffer.isBuffer(source)) {
    for (let at = 0; at < source.length; at += PIECE) yield source.subarray(at, at + PIECE);
  } else {
    yield* typeof source === 'string' ? createReadStream(source, { highWaterMark: PIECE }) : source;
  }
}
