import { printWalName, segmentFile } from '#backup/postgres/archive';
import { formatLsn, parseLsn } from '#backup/postgres/lsn';
import type { BaseNote, DumpNote, Note } from '#backup/postgres/notes';
import type { Snapshot, StoredObject } from '#backup/store/store';

/** Bytes of a segment, and the cluster that all of this is of. */
export const MEGABYTES_16 = 16 * 1024 ** 2;
export const SYSTEM = '7300000000000000001';

/** The moment that a copy's id names. */
export function atOf(id: string): string {
  const [, ...parts] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(id) ?? [];
  const [year, month, day, hour, minute, second] = parts;
  return `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
}

/** The id of a copy that was begun at a moment. */
export function idOf(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`;
}

/** The note of a copy whose log begins and ends in one segment, as a repository lists it. */
export function aBase(
  id: string,
  { generation, segment, of }: { readonly generation: string; readonly segment: number; readonly of?: string },
): { readonly object: string; readonly note: BaseNote } {
  const start = BigInt(segment) * BigInt(MEGABYTES_16);
  const common = {
    ...{ id, at: atOf(id), version: 170011, image: 'postgres@sha256:0', bytes: 1000, systemId: SYSTEM, generation },
    ...{ timeline: 1, segmentBytes: MEGABYTES_16, start: formatLsn(start + 0x28n), stop: formatLsn(start + 0x120n) },
    ...{ archives: [{ path: '/postgres.tar' }], withLog: true, counts: [] },
  };
  const note: BaseNote = of === undefined ? { kind: 'full', ...common } : { kind: 'incremental', of, ...common };
  return { object: `bases/postgres/${id}.0123456789abcdef.zst.age`, note };
}

/** The note of a dump of one database and the roles. */
export function aDump(id: string): { readonly object: string; readonly note: DumpNote } {
  const files = [{ path: '/postgres.globals.sql' }, { path: '/postgres.app.dump', database: 'app' }];
  const note = {
    kind: 'dump' as const,
    id,
    at: atOf(id),
    version: 170011,
    image: 'postgres@sha256:0',
    bytes: 10,
    files,
  };
  return { object: `bases/postgres/${id}.0123456789abcdef.zst.age`, note };
}

/** The snapshot of a copy. */
export function aSnapshot({ kind, id, at }: Note, path = '/postgres.tar'): Snapshot {
  return {
    id: `${kind}-${id}-${path}`,
    time: at,
    tags: ['source=postgres', `kind=${kind}`, `base=${id}`],
    paths: [path],
  };
}

function objectOf(generation: string, plain: string): string {
  return `wal/postgres/${SYSTEM}/${generation}/${plain}.0123456789abcdef.zst.age`;
}

/** The names of closed segments, the last one included. */
export function segmentsOf(generation: string, first: number, last: number): readonly string[] {
  return Array.from({ length: last - first + 1 }, (_, index) =>
    objectOf(generation, segmentFile(1, BigInt(first + index), MEGABYTES_16)),
  );
}

/** The name of the beginning of a segment. */
export function partialOf(generation: string, segment: number, flushed: string): string {
  const file = segmentFile(1, BigInt(segment), MEGABYTES_16);
  return objectOf(generation, printWalName({ kind: 'partial', timeline: 1, file, flushed: parseLsn(flushed) }));
}

/** The name of a timeline's history. */
export function historyOf(generation: string, timeline: number): string {
  return objectOf(generation, printWalName({ kind: 'history', timeline }));
}

/** Objects as a repository lists them. */
export function sized(names: readonly string[]): readonly StoredObject[] {
  return names.map((name) => ({ name, size: 100 }));
}
