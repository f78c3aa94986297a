import { expect } from 'vitest';
import type { Event } from '#protocol/event';
import type { Request } from '#protocol/plan';
import type { BackedUp } from './backed-up.ts';
import { type Asked, ask } from './release.ts';

export interface RestoreOptions {
  readonly into?: 'scratch' | 'in-place';
  readonly preview?: boolean;
}

/** What `deploy restore prod --only postgres` asks of a host, of what is off it. */
export function restoreRequest(to: string, { into = 'scratch', preview = false }: RestoreOptions = {}): Request {
  return {
    ...{ verb: 'restore', app: 'shop', environment: 'prod', by: 'tests' },
    ...{ to, into, preview, only: 'postgres', from: 'offsite' },
  };
}

/** What was restored; rejects where that failed. */
export function whatIsDone({ events, error }: Asked): Extract<Event, { type: 'restore.done' }> {
  expect(error?.message).toBeUndefined();
  const done = events.find((event) => event.type === 'restore.done');
  if (done === undefined) throw new Error('nothing was restored');
  return done;
}

/** What a script prints beside a server on restored data, which is removed afterwards. */
export async function onRestored(
  box: BackedUp,
  to: string,
  script: (psql: string, container: string) => string,
): Promise<string> {
  const { path } = whatIsDone(await ask(box.host, restoreRequest(to)));
  const container = 'look';
  try {
    await box.says(
      `docker run --detach --name ${container} --network none --volume ${path}:/var/lib/postgresql/data registry.sandbox.test/postgres:17 >/dev/null
       for i in $(seq 100); do docker exec ${container} pg_isready -q -U app && break; sleep 0.1; done`,
    );
    return await box.says(script(`docker exec ${container} psql -X -A -t -U app -d app -c`, container));
  } finally {
    await box.inside(`docker rm --force --volumes ${container}; rm -rf ${path}/..`);
  }
}
