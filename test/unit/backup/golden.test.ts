import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { parseWalName, plainName } from '#backup/postgres/archive';
import { noteSchema } from '#backup/postgres/notes';
import { unseal } from '#backup/seal';
import { run } from '#core/run';
import { scratch } from '#test/support/scratch';

const folder = scratch('golden');
const key = join(folder, 'key');
const LOG = 'vps/objects/wal/postgres/7710791591333011479/20261122T004941Z';

/** What the first version has sealed, opened by this one; its name, and its bytes. */
async function opened(place: string): Promise<readonly (readonly [string, Buffer])[]> {
  const files = readdirSync(join(folder, place)).sort();
  const paths = await unseal(
    key,
    files.map((file) => join(folder, place, file)),
    join(folder, 'opened'),
  );
  return paths.map((path, index) => [plainName(files[index] ?? ''), readFileSync(path)]);
}

beforeAll(async () => {
  const archive = fileURLToPath(new URL('../../host/golden/backups.tar.gz', import.meta.url));
  expect((await run(['tar', '--extract', '--gzip', `--file=${archive}`, `--directory=${folder}`])).exitCode).toBe(0);
});

test('write-ahead log that the first version has shipped is opened and told apart by its names', async () => {
  const [closed, begun, ...more] = await opened(LOG);
  expect(more).toEqual([]);
  expect(parseWalName(closed?.[0] ?? '')).toEqual({
    ...{ kind: 'segment', timeline: 1, file: '000000010000000000000002' },
  });
  expect(parseWalName(begun?.[0] ?? '')).toEqual({
    ...{ kind: 'partial', timeline: 1, file: '000000010000000000000003', flushed: 0x3_01b_f98n },
  });
  for (const one of [closed, begun]) {
    expect(one?.[1].length).toBe(16 * 1024 ** 2);
    // PostgreSQL 17's own mark of a page of log.
    expect(one?.[1].readUInt16LE(0)).toBe(0xd116);
  }
});

test('the note of a full copy says what a restoration needs of it', async () => {
  const [note, ...more] = await opened('vps/objects/bases/postgres');
  expect(more).toEqual([]);
  expect(noteSchema.parse(JSON.parse(note?.[1].toString() ?? ''))).toMatchObject({
    ...{ kind: 'full', id: '20261122T004952Z', systemId: '7710791591333011479', generation: '20261122T004941Z' },
    ...{ timeline: 1, segmentBytes: 16 * 1024 ** 2, withLog: true, archives: expect.any(Array) },
  });
});
