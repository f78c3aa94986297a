import { describe, expect, test } from 'vitest';
import { catalogueOf, completeBases, reachOf, stretchesOf } from '#backup/postgres/catalogue';
import { formatLsn, parseLsn } from '#backup/postgres/lsn';
import {
  aBase,
  aDump,
  aSnapshot,
  MEGABYTES_16,
  partialOf,
  SYSTEM,
  segmentsOf,
  sized,
} from '#test/support/stored-copies';

const GENERATION = '20260101T000000Z';
const reach = (objects: readonly string[], from: string): string =>
  formatLsn(reachOf(stretchesOf(sized(objects))[0] ?? { objects: [] }, parseLsn(from), MEGABYTES_16));

describe('how far log goes on', () => {
  test('over closed segments up to a gap, and into the one that is begun', () => {
    expect(reach(segmentsOf(GENERATION, 2, 5), '0/2000028')).toBe('0/6000000');
    expect(reach([...segmentsOf(GENERATION, 2, 3), ...segmentsOf(GENERATION, 5, 6)], '0/2000028')).toBe('0/4000000');
    const begun = [...segmentsOf(GENERATION, 2, 3), partialOf(GENERATION, 4, '0/4000100')];
    expect(reach(begun, '0/2000028')).toBe('0/4000100');
    expect(reach([...begun, partialOf(GENERATION, 4, '0/4000800')], '0/2000028')).toBe('0/4000800');
  });

  test('nowhere where the segment that it begins in is absent, however much follows', () => {
    expect(reach(segmentsOf(GENERATION, 3, 9), '0/2000028')).toBe('0/2000028');
    expect(reach([], '0/2000028')).toBe('0/2000028');
  });

  test('a beginning counts only where the closed ones before it are there', () => {
    expect(reach([...segmentsOf(GENERATION, 2, 3), partialOf(GENERATION, 5, '0/5000100')], '0/2000028')).toBe(
      '0/4000000',
    );
  });
});

describe('what a copy lacks', () => {
  const full = aBase('20260101T020000Z', { generation: GENERATION, segment: 3 });
  const snapshot = aSnapshot(full.note);
  const log = sized(segmentsOf(GENERATION, 3, 4));
  const lacks = (...args: Parameters<typeof catalogueOf>) => catalogueOf(...args).bases.map((base) => base.lacks);

  test('nothing where note, snapshot and log are in the same repository', () => {
    expect(lacks('local', [snapshot], [full], log)).toEqual([[]]);
  });

  test('its snapshot, or its log, each by itself', () => {
    expect(lacks('local', [], [full], log)).toEqual([['its snapshot']]);
    expect(lacks('local', [snapshot], [full], [])).toEqual([['the write-ahead log from 0/3000028 to 0/3000120']]);
  });

  test('the log of another generation or another cluster is not its own', () => {
    const other = sized(segmentsOf('20260101T010000Z', 3, 4));
    const foreign = sized(segmentsOf(GENERATION, 3, 4).map((name) => name.replace(SYSTEM, '999')));
    expect(lacks('local', [snapshot], [full], [...other, ...foreign])[0]).toHaveLength(1);
  });

  test('an incremental lacks its full where that is gone', () => {
    const incremental = aBase('20260101T080000Z', { generation: GENERATION, segment: 4, of: full.note.id });
    const both = [snapshot, aSnapshot(incremental.note)];
    expect(lacks('local', both, [full, incremental], log)).toEqual([[], []]);
    expect(lacks('local', both.slice(1), [full, incremental], log)[1]).toEqual(['the full copy 20260101T020000Z']);
    expect(lacks('local', both.slice(1), [incremental], log)).toEqual([['the full copy 20260101T020000Z']]);
  });

  test('a snapshot without a note is no copy, and a dump without one of its files is not whole', () => {
    const dump = aDump('20260104T033000Z');
    const [roles, data] = dump.note.files.map(({ path }) => aSnapshot(dump.note, path));
    if (roles === undefined || data === undefined) throw new Error('a dump has two files');
    const { bases, dumps, orphans } = catalogueOf('local', [snapshot, roles], [dump], log);
    expect({ bases, orphans }).toEqual({ bases: [], orphans: [snapshot] });
    expect(dumps[0]?.lacks).toEqual(['/postgres.app.dump']);
    expect(catalogueOf('local', [roles, data], [dump], []).dumps[0]?.lacks).toEqual([]);
  });

  test('what lies among the log and is none of ours is not taken for log', () => {
    const strange = sized([
      `wal/postgres/${SYSTEM}/${GENERATION}/notes.txt`,
      `wal/postgres/${SYSTEM}/${GENERATION}/old/000000010000000000000003.0123456789abcdef.zst.age`,
      'wal/postgres/readme',
    ]);
    expect(stretchesOf(strange)).toEqual([]);
    expect(completeBases(catalogueOf('local', [snapshot], [full], [...strange, ...log]))).toHaveLength(1);
  });
});
