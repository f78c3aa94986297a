import type { Backups, Done } from '#backup/engine';
import { orDiscard } from '#backup/snapshots';
import { DeployError } from '#core/errors';
import { stampOf } from '#core/stamp';
import type { PostgresSource } from '#protocol/backup';
import { type Copied, copyFiles } from './base.ts';
import { countRows } from './counts.ts';
import { deliver, makeInFirst, putNote, tagsOf } from './deliver.ts';
import { type Generation, readGeneration } from './generation.ts';
import { imageOf, type RunningImage } from './image.ts';
import type { BaseNote } from './notes.ts';
import { type Cluster, readCluster } from './server.ts';

/** What a copy is taken of. */
export interface Subject {
  readonly cluster: Cluster;
  readonly generation: Generation;
  readonly image: RunningImage;
}

/** The cluster, and the generation that its log is received into; without one no copy would be worth anything. */
export async function subjectOf({ host, settings }: Backups, source: PostgresSource): Promise<Subject> {
  const image = await imageOf(host, source.container);
  const cluster = await readCluster(host, source);
  const generation = await readGeneration(settings.app, source.name);
  if (generation?.systemId === cluster.systemId) return { cluster, generation, image };
  throw new DeployError(
    'backup-failed',
    generation === undefined
      ? `Nothing receives the write-ahead log of ${source.name}.`
      : `${source.container} is another cluster than the one whose write-ahead log is received.`,
    {
      hint: 'Wait a minute: the watch mends it and asks for a full copy. `deploy backup status` tells what it waits for.',
    },
  );
}

/** What is noted of a copy of the files. */
export async function noteOf(
  { host }: Backups,
  source: PostgresSource,
  { cluster, generation, image }: Subject,
  id: string,
  copied: Copied,
): Promise<Omit<Extract<BaseNote, { kind: 'full' }>, 'kind'>> {
  const { snapshot: _snapshot, added: _added, ...rest } = copied;
  return {
    ...rest,
    ...{ id, version: cluster.version, image: image.digest, systemId: cluster.systemId },
    ...{ generation: generation.generation, segmentBytes: cluster.segmentBytes },
    counts: [...(await countRows(host, source))],
  };
}

/** Copies the whole cluster into every repository. */
export async function takeFull(backups: Backups, source: PostgresSource, because?: string): Promise<readonly Done[]> {
  const subject = await subjectOf(backups, source);
  const id = stampOf(new Date());
  const made = await makeInFirst(backups, async (store) => {
    const tags = tagsOf(source.name, { kind: 'full', id });
    const copied = await copyFiles(backups, source, store, { id, tags }, subject.image);
    return orDiscard(store, [copied.snapshot], async () => {
      const note: BaseNote = { kind: 'full', ...(await noteOf(backups, source, subject, id, copied)) };
      await putNote(backups, source, store, note);
      return { note, added: copied.added, snapshot: copied.snapshot };
    });
  });
  return deliver(backups, source, made, detailsOf(made.note as BaseNote, because));
}

/** What the records tell of a copy of the files. */
export function detailsOf(note: BaseNote, because?: string): Readonly<Record<string, unknown>> {
  const { start, stop, timeline, systemId, generation, version, image, withLog } = note;
  const why = because === undefined ? {} : { because };
  return { kind: note.kind, start, stop, timeline, systemId, generation, version, image, withLog, ...why };
}
