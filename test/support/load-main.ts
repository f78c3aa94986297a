// The load itself, as a process of its own: what else a test does must not delay a single request.

import { createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Clients,
  eventClients,
  freshClients,
  keepAliveClients,
  now,
  PATIENCE,
  slowClients,
  streamClients,
  type Target,
} from './load-clients.ts';
import { http2Clients } from './load-http2.ts';
import type { Entry } from './load-record.ts';
import { webSocketClients } from './load-websockets.ts';

interface Order extends Target {
  /** Requests a second, of all kinds together. */
  readonly rate: number;
  readonly file: string;
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const order = JSON.parse((await lines.next()).value ?? '') as Order;
const out = createWriteStream(order.file);
const note = (entry: Entry) => void out.write(`${JSON.stringify(entry)}\n`);

const { rate } = order;
const least = (number: number) => Math.max(1, Math.round(number));
// At 500 a second: 50 clients that keep their connection with seven requests a second each.
const mix: readonly { readonly clients: Clients; readonly rate: number }[] = [
  { clients: keepAliveClients(order, least(rate / 10), note), rate: rate * 0.7 },
  { clients: http2Clients(order, least(rate / 100), note), rate: rate * 0.2 },
  { clients: freshClients(order, note), rate: rate * 0.06 },
  { clients: slowClients(order, note), rate: rate * 0.004 },
  { clients: streamClients(order, note), rate: rate * 0.004 },
  { clients: webSocketClients(order, least(rate / 30), note), rate: rate * 0.032 },
];
const events = Array.from({ length: least(rate / 100) }, () => eventClients(order, note));
for (const client of events) void client.send(now(), 0);

let isOver = false;
/** Milliseconds by which each request went out later than it was due: of this process's own making. */
const lags: number[] = [];
const waiting = new Set<Promise<void>>();

/** Milliseconds in which the rate grows to what it is to be: handshakes all at once would be another test. */
const RAMP = 2000;

/** When the nth request is due, in milliseconds from the start. */
function dueAt(number: number, perSecond: number): number {
  const inRamp = (perSecond * RAMP) / 2000;
  if (number < inRamp) return Math.sqrt((2000 * RAMP * number) / perSecond);
  return RAMP + ((number - inRamp) * 1000) / perSecond;
}

/** Sends on a fixed schedule, whatever becomes of what was sent before. */
async function run({ clients, rate: perSecond }: (typeof mix)[number], start: number): Promise<void> {
  for (let number = 0; !isOver; number += 1) {
    const due = start + dueAt(number, perSecond);
    while (now() < due && !isOver) await sleep(Math.max(1, Math.min(200, due - now())));
    if (isOver) return;
    lags.push(now() - due);
    const sent = clients.send(due, number);
    waiting.add(sent);
    void sent.then(() => waiting.delete(sent));
  }
}

const start = now() + 100;
const runs = mix.map((part) => run(part, start));
console.log('running');
await lines.next();
isOver = true;
await Promise.all(runs);
// What a dead host will never answer is told as lost when its client is closed.
await Promise.race([Promise.all(waiting), sleep(PATIENCE + 5000)]);
for (const { close } of [...events, ...mix.map(({ clients }) => clients)]) close?.();
await new Promise<void>((resolve) => out.end(resolve));
lags.sort((a, b) => a - b);
const lag = { p50: lags[Math.floor(lags.length / 2)], p99: lags[Math.floor(lags.length * 0.99)], most: lags.at(-1) };
await new Promise((resolve) => process.stdout.write(`${JSON.stringify(lag)}\n`, resolve));
process.exit(0);
