import { createHash } from 'node:crypto';
import { Agent, request } from 'node:https';
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
export const PATIENCE = 30_000;

/** Milliseconds since the epoch, finer than Date's. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

/** What a failed connection is called in a report. */
export function codeOf(error: NodeJS.ErrnoException): string {
  return error.code === undefined ? error.message : `${error.code} (${error.message})`;
}

/** What is asked, and how its answer is judged. */
export interface Question {
  readonly method?: 'GET' | 'POST';
  readonly path: string;
  readonly body?: string;
  /** Judges a whole body; says what is wrong with it. */
  readonly judge?: (body: string) => string | undefined;
}

/** What came back. */
export interface Reply {
  readonly status?: number;
  readonly tag?: string;
  readonly retryAfter?: boolean;
  readonly failure?: string;
}

/** What an answer means: anything but a 2xx is a failure, save a 503 that says when to come back. */
export function fateOf(reply: Reply): Pick<Entry, 'status' | 'tag' | 'failure' | 'turnedAway'> {
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

/** What the app answers at once: every other one a POST whose body comes back. */
export function quickQuestion(number: number): Question {
  if (number % 2 === 0) return { path: '/version' };
  const body = `${number}-${createHash('sha256').update(String(number)).digest('hex')}`;
  return {
    ...{ method: 'POST', path: '/echo', body },
    judge: (text) => (text === body ? undefined : 'the echo is another'),
  };
}

/** Clients that keep a connection each, every other request a POST; one that is still waiting takes a second one. */
export function keepAliveClients(target: Target, count: number, note: Note): Clients {
  const agents = Array.from({ length: count }, () => new Agent({ keepAlive: true, maxSockets: 2, maxFreeSockets: 1 }));
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

/** Milliseconds until a stream that ended is asked for again; browsers wait about as long. */
const AGAIN = 2000;

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
      setTimeout(resolve, AGAIN);
    };
    outgoing.once('response', (response) => {
      hasHead = true;
      let tail = '';
      const version = response.headers['x-demo-version'];
      response.setEncoding('utf8').on('data', (chunk: string) => {
        tail = (tail + chunk).slice(-100);
      });
      response.once('error', () => undefined);
      response.once('close', () => {
        const failure = response.complete ? judge(tail) : 'the answer broke off';
        const retryAfter = response.headers['retry-after'] !== undefined;
        const status = response.statusCode ?? 0;
        settle({
          status,
          retryAfter,
          ...(typeof version === 'string' ? { tag: version } : {}),
          ...(failure === undefined || status >= 300 ? {} : { failure }),
        });
      });
    });
    outgoing.on('error', (error) => {
      if (!hasHead) settle({ failure: codeOf(error) });
      hasHead = true;
    });
    outgoing.end();
  });
}
