import { oncePerRepository } from '#backup/alarms';
import { alarmText, failureUrl, tell } from '#backup/ping';
import { toldPath, watchedPath } from '#backup/places';
import { asText, readJson, replaceText } from '#release/durable';
import type { Host } from '#resources/resource';
import { healthOf } from './backup-look.ts';

/** Milliseconds between two words to the receiver, a little less than five of cron's minutes. */
const INTERVAL = 290_000;

interface Told {
  /** When the receiver was told last. Milliseconds. */
  readonly at: number;
  /** The alarms it was told of, or would have been. */
  readonly alarms: readonly string[];
  /** Why it could not be reached. */
  readonly unreachable?: string;
}

// A figure in an alarm moves on, and so does what it says below its first line, while the alarm stays the same.
function sameAs(message: string): (other: string) => boolean {
  const plain = (text: string) => text.split('\n', 1)[0]?.replaceAll(/\d+/g, '#');
  return (other) => plain(other) === plain(message);
}

/**
 * Ends a `watch`: notes that it ran, and tells the journal what is short and the receiver of the ping how it stands,
 * every five minutes and whenever that changes. A receiver that cannot be reached is told of once.
 */
export async function tellHealth(host: Host, app: string): Promise<void> {
  await replaceText(watchedPath(app), '');
  const health = await healthOf(host, app);
  const { seen } = health;
  const { ping, host: name, environment } = seen.settings;
  const alarms = oncePerRepository(health.alarms, environment);
  const before = (await readJson<Told>(toldPath(app)).catch(() => undefined)) ?? { at: 0, alarms: [] };
  const messages = alarms.map(({ message }) => message);
  for (const { message, hint } of alarms)
    if (!before.alarms.some(sameAs(message))) host.warn(`alarm: ${message}`, hint);
  for (const message of before.alarms) if (!messages.some(sameAs(message))) host.say(`no alarm any more: ${message}`);
  const turned = before.alarms.length === 0 ? messages.length > 0 : messages.length === 0;
  const since = seen.now - before.at;
  // A clock that was set back must not silence it.
  if (!turned && since >= 0 && since < INTERVAL) {
    return replaceText(toldPath(app), asText({ ...before, alarms: messages }));
  }
  const { unreachable: _, ...rest } = before;
  if (ping === undefined) return replaceText(toldPath(app), asText({ ...rest, at: seen.now, alarms: messages }));
  const who = `backups of ${app} (${environment}) on ${name}`;
  const why =
    alarms.length === 0 ? await tell(ping, `${who} are well`) : await tell(failureUrl(ping), alarmText(who, alarms));
  if (why !== undefined && before.unreachable === undefined) host.warn(`The ping does not reach its receiver: ${why}.`);
  if (why === undefined && before.unreachable !== undefined) host.say('The ping reaches its receiver again.');
  const told: Told = { at: seen.now, alarms: messages, ...(why === undefined ? {} : { unreachable: why }) };
  return replaceText(toldPath(app), asText(told));
}
