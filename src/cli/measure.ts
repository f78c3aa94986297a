import { type Agent, Agent as HttpsAgent, type RequestOptions, request } from 'node:https';
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import { mainService } from '#cli/images';
import { DeployError } from '#core/errors';
import type { Environment } from '#inventory/environment';

/** Seconds a request may take before it counts as lost. */
const ANSWER = 10;

/** Requests a second that a laptop can send without being the bottleneck itself. */
const FASTEST = 200;

/** Requests that one tick sends at most. */
const AT_ONCE = 5;

interface Sample {
  /** What was asked: the URL, and the host behind it. */
  readonly place: string;
  /** Milliseconds of this process's own clock. */
  readonly sent: number;
  readonly ended: number;
  /** Why it counts as lost; undefined where it was answered. */
  readonly lost: string | undefined;
}

/** What the requests of one span of time came to; times in seconds. */
export interface Span {
  readonly sent: number;
  readonly failed: number;
  readonly p50: number;
  readonly p99: number;
}

/** What a probe saw: before the flip began, and from then on. */
export interface Measured {
  readonly sent: number;
  readonly failed: number;
  readonly before: Span;
  readonly after: Span;
  /** Why the first request from the flip on was lost. */
  readonly why: string | undefined;
}

/** A number below which a share of all values lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}

function spanOf(samples: readonly Sample[]): Span {
  const seconds = samples.filter(({ lost }) => lost === undefined).map(({ sent, ended }) => (ended - sent) / 1000);
  return {
    sent: samples.length,
    failed: samples.length - seconds.length,
    p50: quantile(seconds, 0.5),
    p99: quantile(seconds, 0.99),
  };
}

/** Requests that were lost from the flip on, at places that had lost none before: what failed already says nothing. */
function lossesOf(samples: readonly Sample[], flip: number | undefined): readonly Sample[] {
  const lost = samples.filter((sample) => sample.lost !== undefined);
  const isBefore = ({ ended }: Sample) => flip === undefined || ended < flip;
  const bad = new Set(lost.filter(isBefore).map(({ place }) => place));
  return lost.filter((sample) => !isBefore(sample) && !bad.has(sample.place));
}

/** Divides samples at the moment of the flip: one that was under way then counts as after it. */
export function measured(samples: readonly Sample[], flip: number | undefined): Measured {
  const before = samples.filter(({ ended }) => flip === undefined || ended < flip);
  const after = samples.filter(({ ended }) => flip !== undefined && ended >= flip);
  return {
    sent: samples.length,
    failed: samples.filter(({ lost }) => lost !== undefined).length,
    before: spanOf(before),
    after: spanOf(after),
    why: lossesOf(samples, flip)[0]?.lost,
  };
}

interface Place {
  readonly domain: string;
  readonly address: string;
  readonly path: string;
}

function ask({ domain, address, path }: Place, agent: Agent | false, secureContext: SecureContext): Promise<Sample> {
  const sent = performance.now();
  return new Promise((resolve) => {
    const place = `${domain}${path} ${address}`;
    const end = (lost: string | undefined) => resolve({ place, sent, ended: performance.now(), lost });
    const options: RequestOptions & { secureContext: SecureContext } = {
      host: address,
      servername: domain,
      path,
      agent,
      timeout: ANSWER * 1000,
      headers: { host: domain, 'user-agent': 'slipway-probe' },
      secureContext,
    };
    const question = request(options, (response) => {
      response.resume();
      const status = response.statusCode ?? 0;
      response.once('end', () => end(status >= 500 ? `https://${domain}${path} answered ${status}` : undefined));
      response.once('error', (error) => end(`https://${domain}${path} broke off: ${error.message}`));
    });
    question.once('timeout', () => question.destroy(new Error(`no answer within ${ANSWER} s`)));
    question.once('error', (error) => end(`https://${domain}${path}: ${error.message}`));
    question.end();
  });
}

/** Requests that are being sent. */
export interface Probe {
  /** To be called right before the flip: what ends later was affected by it. */
  flipping(): void;
  /** Resolves with the reason as soon as a request that the flip may have affected is lost. */
  readonly loss: Promise<string>;
  /** What was seen so far. */
  read(): Measured;
  /** Sends no more and waits for the last answers. */
  stop(): Promise<Measured>;
}

/** Reads a number of requests a second as a person writes it. */
export function rateOf(text: string): number {
  const rate = Number(text);
  if (Number.isFinite(rate) && rate > 0 && rate <= FASTEST) return rate;
  throw new DeployError('usage', `--probe ${text} is no number of requests a second.`, {
    hint: `Write it like --probe 20; at most ${FASTEST}.`,
  });
}

/**
 * Sends requests to the public URLs of an environment at a fixed rate, whether or not they are answered: every second
 * one over a connection that is kept, the others over new ones.
 */
export function startProbe(environment: Environment, hosts: readonly string[], rate: number): Probe {
  const main = mainService(environment);
  const health = environment.services[main ?? '']?.healthPath;
  const places = environment.routes.flatMap(({ domain, paths }) =>
    hosts.flatMap((host) => {
      const address = environment.hosts[host]?.address ?? host;
      // The health path is that of the first route's service.
      const leads = health !== undefined && health !== '/' && paths.some(({ service }) => service === main);
      return ['/', ...(leads ? [health] : [])].map((path) => ({ domain, address, path }));
    }),
  );
  const { ca } = environment.certificates;
  // Reading all authorities anew for each connection would take longer than the requests themselves.
  const trust = createSecureContext({ ca: ca === undefined ? [...rootCertificates] : [...rootCertificates, ca] });
  const agent = new HttpsAgent({ keepAlive: true });
  const samples: Sample[] = [];
  const open = new Set<Promise<void>>();
  let flip: number | undefined;
  let count = 0;
  let lose: (why: string) => void = () => undefined;
  const loss = new Promise<string>((resolve) => {
    lose = resolve;
  });
  const send = () => {
    const place = places[count % places.length];
    if (place === undefined) return;
    const kept = Math.floor(count / places.length) % 2 === 0 ? agent : false;
    count += 1;
    const sending = ask(place, kept, trust).then((sample) => {
      samples.push(sample);
      open.delete(sending);
      const why = sample.lost === undefined ? undefined : lossesOf(samples, flip)[0]?.lost;
      if (why !== undefined) lose(why);
    });
    open.add(sending);
  };
  const started = performance.now();
  const timer = setInterval(
    () => {
      // A laptop that was asleep does not catch up.
      const due = Math.min(AT_ONCE, ((performance.now() - started) / 1000) * rate - count);
      for (let sent = 0; sent < due; sent += 1) send();
    },
    Math.max(5, 500 / rate),
  );
  return {
    flipping() {
      flip = performance.now();
    },
    loss,
    read: () => measured(samples, flip),
    async stop() {
      clearInterval(timer);
      await Promise.all(open);
      agent.destroy();
      return measured(samples, flip);
    },
  };
}
