import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export type Slot = 'blue' | 'green';

/** What runs in a slot. */
export interface Occupant {
  readonly release: string;
  readonly tag: string;
  /** Names of the containers that were started. */
  readonly containers: readonly string[];
}

export interface Slots {
  /** The slot that requests go to; undefined before the first release. */
  readonly live: Slot | undefined;
  readonly blue: Occupant | undefined;
  readonly green: Occupant | undefined;
  readonly workers: Occupant | undefined;
}

type Occupants = Omit<Slots, 'live'>;

const FLAGS = '/var/lib/slipway/slots';
const RELEASES = '/var/lib/slipway/releases';

/** The other slot. */
export function otherSlot(slot: Slot): Slot {
  return slot === 'blue' ? 'green' : 'blue';
}

/** The folder that holds an app's releases. */
export function releasesOf(app: string): string {
  return join(RELEASES, app);
}

/** The folder of one release: its environment files, and a folder with compose.yaml for each of its projects. */
export function releaseFolder(app: string, release: string): string {
  return join(releasesOf(app), release);
}

/** The Compose project of one of an app's slots, or of its workers. */
export function projectOf(app: string, part: Slot | 'workers'): string {
  return `${app}-${part}`;
}

function occupantsFile(app: string): string {
  return join(releasesOf(app), 'slots.json');
}

// nginx asks for this very file at every request, so what it says is what is so.
function greenFlag(app: string): string {
  return join(FLAGS, app, 'green');
}

/** What runs where, and where requests go. */
export async function readSlots(app: string): Promise<Slots> {
  const text = await readFile(occupantsFile(app), 'utf8').catch(() => undefined);
  const { blue, green, workers } = (text === undefined ? {} : JSON.parse(text)) as Partial<Occupants>;
  const isGreen = await stat(greenFlag(app)).then(
    () => true,
    () => false,
  );
  const flagged: Slot = isGreen ? 'green' : 'blue';
  const live = (flagged === 'green' ? green : blue) === undefined ? undefined : flagged;
  return { live, blue, green, workers };
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Remembers what runs where, as one rename. */
export async function writeOccupants(app: string, occupants: Occupants): Promise<void> {
  const file = occupantsFile(app);
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await writeFile(`${file}.next`, `${JSON.stringify(occupants, undefined, 1)}\n`, { mode: 0o600, flush: true });
  await rename(`${file}.next`, file);
  await sync(dirname(file));
}

/** Sends requests to a slot from now on: one rename (or one removal) and a directory sync, nothing else. */
export async function flip(app: string, to: Slot): Promise<void> {
  const flag = greenFlag(app);
  // nginx's workers need search permission on the way and read nothing.
  await mkdir(dirname(flag), { recursive: true, mode: 0o755 });
  if (to === 'green') {
    await writeFile(`${flag}.next`, '', { mode: 0o644, flush: true });
    await rename(`${flag}.next`, flag);
  } else {
    await rm(flag, { force: true });
  }
  await sync(dirname(flag));
}

/** Forgets an app's slots and releases. */
export async function forgetReleases(app: string): Promise<void> {
  await rm(join(FLAGS, app), { recursive: true, force: true });
  await rm(releasesOf(app), { recursive: true, force: true });
}
