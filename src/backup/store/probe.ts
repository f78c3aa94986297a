import { request as http } from 'node:http';
import { request as https } from 'node:https';
import { systemAuthorities } from '#core/authorities';
import type { Place } from './repository.ts';

/** Seconds within which a server has to say something. */
const LIMIT = 15;

/**
 * Why a server that is asked over http does not answer; undefined where it does, or is asked otherwise. restic tries for
 * a quarter of an hour before it says so, which is longer than whoever waits for it may take.
 */
export function whySilent(place: Place, ca: string | undefined): Promise<string | undefined> {
  if (place.type !== 's3' && place.type !== 'rest') return Promise.resolve(undefined);
  const url = new URL(place.type === 's3' ? `${place.endpoint}/${place.bucket}/` : place.url);
  const secure = url.protocol === 'https:';
  return new Promise((resolve) => {
    const asked = (secure ? https : http)(url, {
      method: 'HEAD',
      agent: false,
      // As the programs do, which trust what the system trusts; Node.js brings a list of its own.
      ...(secure ? { ca: ca ?? [...systemAuthorities()] } : {}),
      signal: AbortSignal.timeout(LIMIT * 1000),
    });
    asked.once('response', ({ statusCode = 0 }) => {
      asked.destroy();
      resolve(statusCode >= 500 ? `${url.host} answers ${statusCode}` : undefined);
    });
    asked.once('error', (error: NodeJS.ErrnoException) => {
      if (error.name === 'AbortError') resolve(`${url.host} timed out: no answer within ${LIMIT} s`);
      else resolve(`${url.host}: ${error.message}`);
    });
    asked.end();
  });
}

/** What a program would have said to a server that does not answer. */
export function unanswered(argv: readonly string[], why: string) {
  return { argv, stdout: '', stderr: why, exitCode: 1, timedOut: false, duration: 0 };
}
