import { createHash } from 'node:crypto';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { Agent, request } from 'node:https';
import { WebSocket } from 'ws';
import type { Entry, Kind } from './load-record.ts';

/** Where a load goes. */
export interface Target {
  readonly address: string;
  readonly port: number;
  /** The name that is asked for, and that the certificate is for. */
  readonly domain: string;
  /** The authorities to trust, PEM. */
  readonly ca: string;
}

/** Clients of one kind. */
export interface Clients {
  readonly kind: Kind;
  /** Sends the request that was due at this time, the nth of its kind; resolves once its fate is known. */
  send(due: number, number: number): Promise<void>;
  /** Takes leave of connections that live on. */
  close?(): void;
}

export type Note = (entry: Entry) => void;

/** Milliseconds until a request counts as lost. */
const PATIENCE = 30_000;

/** Milliseconds since the epoch, finer than Date's. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

function codeOf(error: NodeJS.ErrnoException): string {
  return error.code === undefined ? error.message : `${error.code} (${error.message})`;
}

interface Question {
  readonly method?: 'GET' | 'POST';
  readonly path: string;
  readonly body?: string;
  /** Judges a whole body; says what is wrong with it. */
  readonly judge?: (body: string) => string | undefined;
}

interface Reply {
  readonly status?: number;
  readonly tag?: string;
  readonly retryAfter?: boolean;
  readonly failure?: string;
}

function fateOf(reply: Reply): Pick<Entry, 'status' | 'tag' | 'failure' | 'turnedAway'> {
  const { status, tag, failure, retryAfter } = reply;
  const wrong = failure ?? (status !== undefined && status >= 200 && status < 300 ? undefined : `status ${status}`);
  const turnedAway = failure === undefined && status === 503 && retryAfter === true;
  return {
    ...(status === undefined ? {} : { status }),
    ...(tag === undefined ? {} : { tag }),
    ...(turnedAway ? { turnedAway } : wrong === undefined ? {} : { failure: wrong }),
  };
}

/** One HTTP/1.1 exchange. */
function exchange(target: Target, agent: Agent | false, note: Note, kind: Kind, due: number, question: Question) {
  const { method = 'GET', path, body, judge } = question;
  return new Promise<void>((resolve) => {
    let sent = now();
    let hasHead = false;
    const settle = (reply: Reply) => {
      clearTimeout(patience);
      note({ kind, due, sent, ended: now(), ...fateOf(reply) });
      resolve();
    };
    const outgoing = request({
      ...{ host: target.address, port: target.port, servername: target.domain, ca: target.ca, agent },
      ...{ method, path, headers: { host: target.domain, 'content-length': Buffer.byteLength(body ?? '') } },
    });
    const patience = setTimeout(() => outgoing.destroy(new Error('no answer in time')), PATIENCE);
    outgoing.once('finish', () => {
      sent = now();
    });
    outgoing.once('response', (response) => {
      hasHead = true;
      const version = response.headers['x-demo-version'];
      const head = {
        status: response.statusCode ?? 0,
        ...(typeof version === 'string' ? { tag: version } : {}),
        retryAfter: response.headers['retry-after'] !== undefined,
      };
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.once('error', () => undefined);
      response.once('close', () => {
        if (!response.complete) return settle({ ...head, failure: 'the answer broke off' });
        const failure = head.status < 300 ? judge?.(text) : undefined;
        settle({ ...head, ...(failure === undefined ? {} : { failure }) });
      });
    });
    outgoing.on('error', (error) => {
      // What fails after the head has come is told by the answer's own end.
      if (!hasHead) settle({ failure: codeOf(error) });
      hasHead = true;
    });
    outgoing.end(body);
  });
}

function quickQuestion(number: number): Question {
  if (number % 2 === 0) return { path: '/version' };
  const body = `${number}-${createHash('sha256').update(String(number)).digest('hex')}`;
  return {
    ...{ method: 'POST', path: '/echo', body },
    judge: (text) => (text === body ? undefined : 'the echo is another'),
  };
}

/** Clients that keep their one connection each, every other request a POST. */
export function keepAliveClients(target: Target, count: number, note: Note): Clients {
  const agents = Array.from({ length: count }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
  return {
    kind: 'keep-alive',
    // The round is added, or an even number of clients would have the same ones always post.
    send: (due, number) => {
      const agent = agents[number % count] ?? false;
      return exchange(target, agent, note, 'keep-alive', due, quickQuestion(number + Math.floor(number / count)));
    },
    close: () => agents.forEach((agent) => void agent.destroy()),
  };
}

/** A new connection for each request. */
export function freshClients(target: Target, note: Note): Clients {
  return {
    kind: 'fresh',
    send: (due, number) => exchange(target, false, note, 'fresh', due, quickQuestion(number)),
  };
}

/** Requests that the app takes three seconds for. */
export function slowClients(target: Target, note: Note): Clients {
  return { kind: 'slow', send: (due) => exchange(target, false, note, 'slow', due, { path: '/slow?ms=3000' }) };
}

const EVENTS = 12;

/** Answers that come in twelve pieces over three seconds; one piece less is a failure. */
export function streamClients(target: Target, note: Note): Clients {
  const judge = (text: string) => {
    const events = text.match(/^id: /gm)?.length ?? 0;
    return events === EVENTS ? undefined : `${events} events of ${EVENTS}`;
  };
  const question = { path: `/stream?ms=250&count=${EVENTS}`, judge };
  return { kind: 'stream', send: (due) => exchange(target, false, note, 'stream', due, question) };
}

/** Streams without an end: an end that the app says itself is an answer, everything else a failure. */
export function eventClients(target: Target, note: Note): Clients {
  let isOver = false;
  const agent = new Agent();
  const judge = (text: string) => (text.endsWith('event: end\ndata: bye\n\n') ? undefined : 'ended without a word');
  const patient: Note = (entry) => {
    if (!isOver) note(entry);
  };
  return {
    kind: 'events',
    async send(due) {
      for (let at = due; !isOver; at = now()) {
        await endless(target, agent, patient, at, judge);
      }
    },
    close: () => {
      isOver = true;
      agent.destroy();
    },
  };
}

function endless(
  target: Target,
  agent: Agent,
  note: Note,
  due: number,
  judge: (text: string) => string | undefined,
): Promise<void> {
  return new Promise((resolve) => {
    const sent = now();
    let hasHead = false;
    const outgoing = request({
      ...{ host: target.address, port: target.port, servername: target.domain, ca: target.ca, agent },
      ...{ path: '/stream?ms=1000', headers: { host: target.domain } },
    });
    const settle = (reply: Reply) => {
      note({ kind: 'events', due, sent, ended: now(), ...fateOf(reply) });
      setTimeout(resolve, 100);
    };
    outgoing.once('response', (response) => {
      hasHead = true;
      let tail = '';
      const tag = String(response.headers['x-demo-version']);
      response.setEncoding('utf8').on('data', (chunk: string) => {
        tail = (tail + chunk).slice(-100);
      });
      response.once('error', () => undefined);
      response.once('close', () => {
        const failure = response.complete ? judge(tail) : 'the answer broke off';
        const retryAfter = response.headers['retry-after'] !== undefined;
        const status = response.statusCode ?? 0;
        settle({ status, tag, retryAfter, ...(failure === undefined || status >= 300 ? {} : { failure }) });
      });
    });
    outgoing.on('error', (error) => {
      if (!hasHead) settle({ failure: codeOf(error) });
      hasHead = true;
    });
    outgoing.end();
  });
}

/** Browsers: several requests at a time over few connections, and a new one where the server says goodbye. */
export function http2Clients(target: Target, count: number, note: Note): Clients {
  const sessions: (ClientHttp2Session | undefined)[] = [];
  const sessionOf = (index: number): ClientHttp2Session => {
    const there = sessions[index];
    if (there !== undefined && !there.closed && !there.destroyed) return there;
    const authority = `https://${target.address}:${target.port}`;
    const session = connectHttp2(authority, { servername: target.domain, ca: target.ca });
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
    send(due, number) {
      const { method = 'GET', path, body, judge } = quickQuestion(number + Math.floor(number / count));
      return new Promise((resolve) => {
        const sent = now();
        const stream = sessionOf(number % count).request({
          ...{ ':method': method, ':path': path, ':authority': target.domain },
        });
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
          note({
            ...{ kind: 'http2', due, sent, ended: now() },
            ...fateOf({ ...reply, ...(failure === undefined ? {} : { failure }) }),
          });
          resolve();
        });
        stream.end(body);
      });
    },
    close: () => sessions.forEach((session) => void session?.destroy()),
  };
}

interface Message {
  readonly due: number;
  readonly text: string;
  readonly answered: () => void;
}

/**
 * WebSockets that send a message in their turn and expect it back. One that is closed with a close frame is opened again
 * and what it had not answered is sent again, as any client does that wants to live; one closed without is a failure.
 */
export function webSocketClients(target: Target, count: number, note: Note): Clients {
  let isOver = false;
  const clients = Array.from({ length: count }, () => {
    let pending: Message[] = [];
    let socket: WebSocket | undefined;
    let tag: string | undefined;
    const fail = (failure: string) => {
      const [first] = pending;
      const due = first?.due ?? now();
      note({ kind: 'websocket', due, sent: due, ended: now(), failure, ...(tag === undefined ? {} : { tag }) });
      pending = pending.slice(1);
      first?.answered();
    };
    const open = () => {
      tag = undefined;
      socket = new WebSocket(`wss://${target.address}:${target.port}/ws`, {
        ...{ servername: target.domain, headers: { host: target.domain }, ca: target.ca, handshakeTimeout: PATIENCE },
      });
      socket.on('message', (data) => {
        if (tag === undefined) {
          tag = String(data);
          for (const { text } of pending) socket?.send(text);
          return;
        }
        const [message] = pending;
        if (message === undefined || message.text !== String(data)) return fail('another message came back');
        pending = pending.slice(1);
        note({ kind: 'websocket', due: message.due, sent: message.due, ended: now(), tag });
        message.answered();
      });
      socket.on('error', (error) => {
        if (!isOver && tag === undefined) fail(codeOf(error));
      });
      socket.on('close', (code) => {
        if (isOver) return;
        // RFC 6455, 7.1.5: 1006 is what a client notes where no close frame came.
        if (code === 1006 && tag !== undefined) fail('closed without a close frame');
        setTimeout(open, tag === undefined ? 200 : 0);
      });
    };
    open();
    return {
      send: (due: number, number: number) =>
        new Promise<void>((resolve) => {
          const message = { due, text: `message ${number}`, answered: resolve };
          pending.push(message);
          if (tag !== undefined && socket?.readyState === WebSocket.OPEN) socket.send(message.text);
        }),
      close: () => socket?.terminate(),
    };
  });
  return {
    kind: 'websocket',
    send: (due, number) => clients[number % count]?.send(due, number) ?? Promise.resolve(),
    close: () => {
      isOver = true;
      for (const client of clients) client.close();
    },
  };
}
