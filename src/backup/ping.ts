import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { systemAuthorities } from '#core/authorities';
import type { Alarm } from '#protocol/backup';

/** Milliseconds that the receiver gets for its answer. */
const DEADLINE = 10_000;

/** Bytes of what is told: receivers keep the first of them (healthchecks.io: 100 kB). */
const LONGEST = 10_000;

/** Where alarms are told: below the URL that is asked while all is well, before its query. */
export function failureUrl(ping: string): string {
  const url = new URL(ping);
  url.pathname = `${url.pathname.replace(/\/$/, '')}/fail`;
  return url.href;
}

/** What is told of alarms, for a person who reads it on a telephone. */
export function alarmText(who: string, alarms: readonly Alarm[]): string {
  return [
    `${who}: ${alarms.length === 1 ? 'an alarm' : `${alarms.length} alarms`}`,
    ...alarms.map(({ message, hint }) => `- ${message}\n  ${hint}`),
  ]
    .join('\n')
    .slice(0, LONGEST);
}

/** Sends a text; resolves with why it did not arrive, for a person. */
export function tell(url: string, text: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const secure = url.startsWith('https:');
    const options = { method: 'POST', agent: false, signal: AbortSignal.timeout(DEADLINE) };
    const told = (secure ? httpsRequest : httpRequest)(
      url,
      secure ? { ...options, ca: [...systemAuthorities()] } : options,
      (answer) => {
        answer.resume();
        const { statusCode = 0 } = answer;
        resolve(statusCode >= 200 && statusCode < 300 ? undefined : `it answers ${statusCode}`);
      },
    );
    told.once('error', (error) =>
      resolve(error.name === 'AbortError' || error.name === 'TimeoutError' ? 'no answer' : error.message),
    );
    told.setHeader('content-type', 'text/plain; charset=utf-8');
    told.end(text);
  });
}
