import { request as plain } from 'node:http';
import { request as secure } from 'node:https';
import type { ReleaseRecord } from './record.ts';
import type { Slot } from './slots.ts';

/** A way into a service: where its replicas answer, and the route that leads there. */
export interface Door {
  readonly service: string;
  readonly addresses: readonly string[];
  readonly port: number;
  /** Answers 2xx when the container can serve; undefined where it is enough that the port accepts. */
  readonly path: string | undefined;
  readonly domain: string | undefined;
  /** The path of the domain's route that leads here. */
  readonly route: string;
}

/** The doors of a release in a slot. */
export function doorsOf({ props }: Pick<ReleaseRecord, 'props'>, slot: Slot): readonly Door[] {
  return props.gates.map(({ service, addresses, port, path, domain, route }) => ({
    service,
    addresses: addresses[slot],
    port,
    path,
    domain,
    route,
  }));
}

/** What came back: an answer, or the name of the failure. */
export type Answer =
  | { readonly status: number; readonly said: string; readonly location?: string }
  | { readonly failure: string };

/** Seconds one question may take. */
const ANSWER = 5;

/** Characters of an answer that are worth reading: health endpoints say in their first line what is wrong. */
const READ = 200;

const AGENT = 'slipway-gate';

interface Question {
  readonly send: typeof plain | typeof secure;
  readonly options: Readonly<Record<string, unknown>>;
}

function ask({ send, options }: Question): Promise<Answer> {
  return new Promise((resolve) => {
    const question = send({ timeout: ANSWER * 1000, agent: false, ...options }, (response) => {
      const { location } = response.headers;
      let said = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        if (said.length < READ) said += chunk;
      });
      // One that breaks off has given its status all the same.
      response.once('error', () => undefined);
      response.once('close', () =>
        resolve({
          status: response.statusCode ?? 0,
          said: said.slice(0, READ),
          ...(location === undefined ? {} : { location }),
        }),
      );
    });
    // The answer as a whole: one that trickles in for ever is none.
    const deadline = setTimeout(() => question.destroy(new Error('timeout')), ANSWER * 1000);
    question.once('close', () => clearTimeout(deadline));
    question.once('timeout', () => question.destroy(new Error('timeout')));
    question.once('error', (error: NodeJS.ErrnoException) => resolve({ failure: error.code ?? error.message }));
    question.end();
  });
}

/** Asks one replica, past the proxy. */
export function askReplica(address: string, { port, path, domain }: Door): Promise<Answer> {
  const headers = {
    host: domain ?? address,
    'user-agent': AGENT,
    // Apps that redirect plain http to https must see what they see behind the proxy.
    'x-forwarded-proto': 'https',
  };
  return ask({ send: plain, options: { host: address, port, path: path ?? '/', headers } });
}

/** The path that is asked through the proxy: the health path where the route leads there, else the route's own. */
export function proxiedPath({ path, route }: Door): string {
  return path?.startsWith(route) === true ? path : route;
}

/** Asks through nginx as the world would, but for the header that forces the slot. */
export function askThroughProxy(door: Door, slot: Slot): Promise<Answer> {
  const { domain = '' } = door;
  const headers = { host: domain, 'user-agent': AGENT, 'x-slipway-slot': slot };
  // Whether the certificate is good is looked at where it is issued; here the question is who answers.
  const options = { host: '127.0.0.1', port: 443, servername: domain, rejectUnauthorized: false, headers };
  return ask({ send: secure, options: { ...options, path: proxiedPath(door) } });
}

/** Whether a replica's answer lets requests come. */
export function isWell(answer: Answer, { path }: Door): boolean {
  if ('failure' in answer) return false;
  return path === undefined || (answer.status >= 200 && answer.status < 300);
}

/** Whether what came back through the proxy lets requests come; without a health path all but the proxy's own words do. */
export function isWellProxied(answer: Answer, door: Door): boolean {
  if ('failure' in answer) return false;
  if (door.path !== undefined && proxiedPath(door) === door.path) return isWell(answer, door);
  return ![502, 503, 504].includes(answer.status);
}
