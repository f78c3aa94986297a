import { type IncomingMessage, request } from 'node:http';
import type { Socket } from 'node:net';
import { DeployError } from '#core/errors';

const SOCKET = '/var/run/docker.sock';
const HINT = 'Look at `systemctl status docker` on the host, then run the same command again.';

interface Opened {
  readonly response: IncomingMessage;
  /** Both ways, where the engine has handed over its connection. */
  readonly socket: Socket | undefined;
}

async function said(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += chunk;
  try {
    return (JSON.parse(text) as { message?: string }).message ?? text.trim();
  } catch {
    return text.trim();
  }
}

function open(path: string, body: unknown, signal: AbortSignal | undefined): Promise<Opened> {
  return new Promise((resolve, reject) => {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const sent = request({
      socketPath: SOCKET,
      path,
      method: payload === undefined ? 'GET' : 'POST',
      agent: false,
      headers: {
        host: 'docker',
        ...(payload === undefined
          ? {}
          : {
              'content-type': 'application/json',
              'content-length': Buffer.byteLength(payload),
              connection: 'Upgrade',
              upgrade: 'tcp',
            }),
      },
      ...(signal === undefined ? {} : { signal }),
    });
    sent.once('response', (response) => resolve({ response, socket: undefined }));
    sent.once('upgrade', (response, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      resolve({ response, socket: socket as Socket });
    });
    sent.once('error', (error) =>
      reject(
        new DeployError('docker-failed', `Docker did not answer: ${error.message}.`, { hint: HINT, cause: error }),
      ),
    );
    sent.end(payload);
  });
}

async function refusal(response: IncomingMessage): Promise<DeployError> {
  return new DeployError('docker-failed', `Docker refused: ${await said(response)}`, { hint: HINT });
}

/** What the engine tells for as long as it likes, such as the log of a container that is followed. */
export async function dockerOutput(path: string, signal?: AbortSignal): Promise<AsyncIterable<Buffer>> {
  const { response } = await open(path, undefined, signal);
  if ((response.statusCode ?? 0) >= 400) throw await refusal(response);
  return response;
}

/** The engine's own connection, to speak with a process in a container. */
export async function dockerConversation(path: string, body: unknown): Promise<Socket> {
  const { response, socket } = await open(path, body, undefined);
  if (socket === undefined) throw await refusal(response);
  return socket;
}

/** What a process wrote, taken out of the frames in which the engine mixes its two streams. */
export interface Written {
  readonly stream: 'stdout' | 'stderr';
  readonly data: Buffer;
}

/** Takes the two streams of a container apart; one that has a terminal has only one, and no frames. */
export async function* apart(chunks: AsyncIterable<Buffer>, isTerminal: boolean): AsyncGenerator<Written> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    if (isTerminal) {
      yield { stream: 'stdout', data: chunk };
      continue;
    }
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    // Docker Engine API, "attach": one byte for the stream, three of zero, four for the length, then the text.
    while (rest.length >= 8) {
      const end = 8 + rest.readUInt32BE(4);
      if (rest.length < end) break;
      yield { stream: rest[0] === 2 ? 'stderr' : 'stdout', data: rest.subarray(8, end) };
      rest = rest.subarray(end);
    }
  }
}
