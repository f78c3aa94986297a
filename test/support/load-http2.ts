import { type ClientHttp2Session, connect } from 'node:http2';
import {
  type Clients,
  codeOf,
  fateOf,
  type Note,
  now,
  PATIENCE,
  type Question,
  quickQuestion,
  type Reply,
  type Target,
} from './load-clients.ts';

function ask(session: ClientHttp2Session, domain: string, question: Question): Promise<Reply> {
  const { method = 'GET', path, body, judge } = question;
  return new Promise((resolve) => {
    const stream = session.request({ ':method': method, ':path': path, ':authority': domain });
    let reply: Reply = { failure: 'no answer in time' };
    let text = '';
    let hasEnded = false;
    stream.setTimeout(PATIENCE, () => stream.destroy());
    stream.once('response', (headers) => {
      const version = headers['x-demo-version'];
      const retryAfter = headers['retry-after'] !== undefined;
      const status = headers[':status'] ?? 0;
      reply = { status, retryAfter, ...(typeof version === 'string' ? { tag: version } : {}) };
    });
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    stream.once('end', () => {
      hasEnded = true;
    });
    stream.once('error', (error) => {
      reply = { ...reply, failure: codeOf(error) };
    });
    stream.once('close', () => {
      const isWell = reply.failure === undefined && (reply.status ?? 0) < 300;
      const failure = isWell ? (hasEnded ? judge?.(text) : 'the answer broke off') : reply.failure;
      resolve({ ...reply, ...(failure === undefined ? {} : { failure }) });
    });
    stream.end(body);
  });
}

/**
 * Browsers: several requests at a time over few connections, and a new one where the server says goodbye. A stream that
 * it refuses has had no effect and is sent once more (RFC 9113, 8.7).
 */
export function http2Clients(target: Target, count: number, note: Note): Clients {
  const sessions: (ClientHttp2Session | undefined)[] = [];
  const sessionOf = (index: number): ClientHttp2Session => {
    const there = sessions[index];
    if (there !== undefined && !there.closed && !there.destroyed) return there;
    const authority = `https://${target.address}:${target.port}`;
    const session = connect(authority, { servername: target.domain, ca: target.ca });
    session.on('error', () => undefined);
    session.on('goaway', () => {
      if (sessions[index] === session) sessions[index] = undefined;
      session.close();
    });
    sessions[index] = session;
    return session;
  };
  return {
    kind: 'http2',
    async send(due, number) {
      const question = quickQuestion(number + Math.floor(number / count));
      for (const retried of [false, true]) {
        const sent = now();
        const reply = await ask(sessionOf(number % count), target.domain, question);
        if (reply.failure?.includes('REFUSED_STREAM') === true && !retried) continue;
        const entry = { kind: 'http2', due, sent, ended: now(), ...fateOf(reply) } as const;
        return note(retried ? { ...entry, retried } : entry);
      }
    },
    close: () => sessions.forEach((session) => void session?.destroy()),
  };
}
