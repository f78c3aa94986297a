import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ReleaseProps, releaseKind } from '#resources/release';
import { asText, readJson, replaceText } from './durable.ts';
import type { PinnedImage } from './images.ts';
import { releaseFolder, releasesOf } from './slots.ts';

/** What a release is: written once, but for how it is brought live. Its environment files and Compose files lie beside it. */
export interface ReleaseRecord {
  readonly id: string;
  /** The digest of what was declared; images of other digests make another release of it. */
  readonly declared?: string;
  readonly tag: string;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly by: string;
  readonly images: Readonly<Record<string, PinnedImage>>;
  /** The release that served when it was made. */
  readonly previous?: string;
  readonly props: Omit<ReleaseProps, 'environments' | 'slots' | 'workers' | 'command'>;
  /** Whether there are workers. */
  readonly hasWorkers: boolean;
}

/** How a release fared the last time it was brought live. */
export interface Outcome {
  readonly served: boolean;
  /** ISO 8601. */
  readonly at: string;
  /** Who brought it live. */
  readonly by?: string;
  /** It was not what the inventory named. */
  readonly departs?: boolean;
  /** The release that it took over from. */
  readonly after?: string;
  /** Why it does not serve. */
  readonly why?: string;
}

/** A release on the host's disk. */
export interface Stored {
  readonly record: ReleaseRecord;
  readonly outcome: Outcome | undefined;
}

const recordFile = (app: string, id: string): string => join(releaseFolder(app, id), 'release.json');
const outcomeFile = (app: string, id: string): string => join(releaseFolder(app, id), 'outcome.json');

// Images are quoted in what the playbook renders, and the name of an image holds nothing that would be escaped.
function withPinned(compose: string, images: Readonly<Record<string, PinnedImage>>): string {
  return Object.values(images).reduce(
    (text, { declared, pinned }) => text.replaceAll(`image: "${declared}"`, `image: "${pinned}"`),
    compose,
  );
}

/** Writes a release's folder; what is there already under the same id is the same release. */
export async function stage(
  props: ReleaseProps,
  made: Pick<ReleaseRecord, 'id' | 'declared' | 'by' | 'images' | 'previous'>,
): Promise<ReleaseRecord> {
  const { environments, slots, workers, command, ...rest } = props;
  const folder = releaseFolder(props.app, made.id);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (const [service, text] of Object.entries(environments)) {
    await writeFile(join(folder, `${service}.env`), text, { mode: 0o600 });
  }
  const parts = {
    ...slots,
    ...(workers === undefined ? {} : { workers }),
    ...(command === undefined ? {} : { command }),
  };
  for (const [part, text] of Object.entries(parts)) {
    await mkdir(join(folder, part), { recursive: true, mode: 0o700 });
    await writeFile(join(folder, part, 'compose.yaml'), withPinned(text, made.images), { mode: 0o600 });
  }
  const there = await readRecord(props.app, made.id);
  const record: ReleaseRecord = {
    ...(there ?? { ...made, createdAt: new Date().toISOString() }),
    tag: props.tag,
    hasWorkers: workers !== undefined,
    // How it is brought live (limits, routes) is no part of what it is, and may be asked for otherwise the second time.
    props: rest,
  };
  await replaceText(recordFile(props.app, made.id), asText(record));
  return record;
}

/** What a record keeps of a release's properties; the rest lies beside it as files. */
const KEPT = releaseKind.props.omit({ environments: true, slots: true, workers: true, command: true });

/** What a release is; undefined where the host has none of that id, or one of a Slipway that knew other records. */
export async function readRecord(app: string, id: string): Promise<ReleaseRecord | undefined> {
  const record = await readJson<ReleaseRecord>(recordFile(app, id));
  return KEPT.safeParse(record?.props).success ? record : undefined;
}

/** Remembers how a release fared. */
export async function writeOutcome(app: string, id: string, outcome: Outcome): Promise<void> {
  await replaceText(outcomeFile(app, id), asText(outcome));
}

/** How a release fared; undefined where it was never brought to its end. */
export async function readOutcome(app: string, id: string): Promise<Outcome | undefined> {
  return readJson<Outcome>(outcomeFile(app, id));
}

async function folders(app: string): Promise<readonly string[]> {
  const entries = await readdir(releasesOf(app), { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

/** All releases of an app that the host keeps, the one that was live last first. */
export async function storedReleases(app: string): Promise<readonly Stored[]> {
  const ids = await folders(app);
  const stored = await Promise.all(
    ids.map(async (id) => {
      const [record, outcome] = await Promise.all([readRecord(app, id), readOutcome(app, id)]);
      return record === undefined ? [] : [{ record, outcome }];
    }),
  );
  const time = ({ record, outcome }: Stored) => outcome?.at ?? record.createdAt;
  return stored.flat().sort((a, b) => (time(a) < time(b) ? 1 : -1));
}

/** Folders of releases without a record: what a killed run has left, and what an older Slipway wrote. */
export async function unrecorded(app: string): Promise<readonly string[]> {
  const ids = await folders(app);
  const records = await Promise.all(ids.map((id) => readRecord(app, id)));
  return ids.filter((_, index) => records[index] === undefined);
}
