import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gapsIn, parseWalName, plainName } from '#backup/postgres/archive';
import { internet } from '#sandbox/sandbox';
import { type BackedUp, backedUp, DATABASE } from '#test/support/backed-up';
import { type BucketServer, startBucket } from '#test/support/bucket';
import { type FaultyFront, faultyFront } from '#test/support/faulty-front';
import { onRestored } from '#test/support/restored';
import { alarmsOf, copiesOf, drillOf, leftoversOf, silence } from '#test/support/standing';

/** A line of 1 Mbit/s, for each request. */
const SLOW = { bytesPerSecond: 125_000 };

let bucket: BucketServer;
let line: FaultyFront;
let box: BackedUp;

/** Bulk, in megabytes of log, that at best can be halved. */
const write = (megabytes: number) =>
  box.sql(`INSERT INTO rows (filler) SELECT string_agg(md5(random()::text || i), '')
    FROM generate_series(1, ${megabytes * 128}) one, generate_series(1, 240) i GROUP BY one;`);

beforeAll(async () => {
  const { caFile } = await internet();
  bucket = await startBucket();
  line = await faultyFront('line.sandbox.test', { host: '127.0.0.1', port: bucket.port });
  const wanted = {
    name: 'line',
    backups: {
      repository: `s3:${line.url}/${bucket.bucket}/shop`,
      credentials: { AWS_ACCESS_KEY_ID: '${BUCKET_ID}', AWS_SECRET_ACCESS_KEY: '${BUCKET_KEY}' },
      ca: caFile,
    },
    secrets: { BUCKET_ID: 'S3RVER', BUCKET_KEY: 'S3RVER' },
  };
  box = await backedUp({ ...wanted, withoutBackups: true });
  // No inventory has the size of segments: it comes with a cluster that was there before.
  await box.says(`docker stop ${DATABASE}; rm -rf /srv/shop/postgres/*
    docker run --detach --name before --volume /srv/shop/postgres:/var/lib/postgresql/data \
      -e POSTGRES_INITDB_ARGS=--wal-segsize=64 -e POSTGRES_USER=app -e POSTGRES_DB=app -e POSTGRES_PASSWORD=sesame \
      registry.sandbox.test/postgres:17
    until docker exec before psql -h 127.0.0.1 -U app -c '' app; do sleep 0.3; done
    docker stop before; docker rm before; docker start ${DATABASE}
    until docker exec ${DATABASE} psql -h 127.0.0.1 -U app -c '' app; do sleep 0.3; done`);
  await box.converge({ withoutBackups: false });
  await silence(box);
  await box.sql('CREATE TABLE rows (id bigserial PRIMARY KEY, filler text);');
}, 600_000);

afterAll(async () => {
  await box?.[Symbol.asyncDispose]();
  await line?.[Symbol.asyncDispose]();
  await bucket?.[Symbol.asyncDispose]();
});

const question = `SELECT count(*), max(id), md5(string_agg(filler, ',' ORDER BY id)) FROM rows`;

test('log in segments of 64 MB is kept, drilled and restored like any other', async () => {
  expect(await box.sql('SHOW wal_segment_size;')).toBe('64MB');
  await box.job('watch');
  for (const job of ['full', 'incremental'] as const) {
    const { code, said } = await box.job(job, 'postgres');
    expect(code, said).toBe(0);
    for (let segment = 0; segment < 2; segment += 1) {
      await write(3);
      await box.sql('SELECT pg_switch_wal();');
    }
  }
  await write(1);
  const { code, said } = await box.job('watch');
  expect(code, said).toBe(0);
  const names = (await box.says('ls /var/backups/slipway/shop/vps/objects/wal/postgres/*/*'))
    .split('\n')
    .map(plainName);
  const closed = names.filter((name) => parseWalName(name)?.kind === 'segment');
  expect(closed.length).toBeGreaterThan(4);
  expect(gapsIn(closed, 2 ** 26)).toEqual([]);
  expect((await copiesOf(box, 'postgres')).map(({ kind, complete }) => `${kind} ${complete}`).sort()).toEqual([
    ...['full true', 'full true', 'incremental true', 'incremental true'],
  ]);
  const { verdict, why } = await drillOf(box);
  expect(verdict, why).toBe('passed');
  expect(await onRestored(box, 'latest', (psql) => `${psql} "${question}"`)).toBe(await box.sql(question));
});

test('over a line that is slower than the log grows, the database serves, and all arrives in the end', async () => {
  line.mood = () => SLOW;
  await write(6);
  const looking = box.job('watch');
  await sleep(3000);
  // While one look is at it, the next has nothing to do but to say so, and commits wait for nobody.
  const began = Date.now();
  const next = await box.job('watch');
  expect(next.said).toMatch(/at work|running/);
  await write(3);
  console.log(`the second look and a commit of 3 MB took ${Date.now() - began} ms`);
  const first = await looking;
  console.log(`6 MB arrived after ${Date.now() - began + 3000} ms`);
  expect(first.code, first.said).toBe(0);
  await box.job('watch');
  line.mood = () => 'well';
  await box.job('watch');
  expect(await alarmsOf(box)).toEqual([]);
  expect(await leftoversOf(box)).toBe('');
  expect(await onRestored(box, 'latest', (psql) => `${psql} "${question}"`)).toBe(await box.sql(question));
  expect(await box.says(`docker inspect --format '{{.State.Health.Status}}' ${DATABASE}`)).toBe('healthy');
});
