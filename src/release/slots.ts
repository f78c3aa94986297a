import { mkdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { RestartPolicy } from './containers.ts';
import { asText, readJson, replaceText, syncFolder } from './durable.ts';

export type Slot = 'blue' | 'green';

/** What runs in a slot. */
export interface Occupant {
  readonly release: string;
  readonly tag: string;
  /** Names of the containers that were started. */
  readonly containers: readonly string[];
  /** ISO 8601: until when it is kept running for a rollback, though requests go to the other slot. */
  readonly warmUntil?: string;
  /** How Docker restarts its containers once it serves again; a slot that is merely kept warm does not come back at boot. */
  readonly restart?: Readonly<Record<string, RestartPolicy>>;
}

export interface Slots {
  /** The slot that requests go to; undefined before the first release. */
  readonly live: Slot | undefined;
  /** The slot that nginx is told, whether or not anything is in it. */
  readonly flagged: Slot;
  readonly blue: Occupant | undefined;
  readonly green: Occupant | undefined;
  readonly workers: Occupant | undefined;
}

export type Occupants = Pick<Slots, 'blue' | 'green' | 'workers'>;

/** What an app's containers are parted into. */
export const PARTS = ['blue', 'green', 'workers'] as const;

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

/** The Compose project of one of an app's slots, of its workers, or of its release command. */
export function projectOf(app: string, part: Slot | 'workers' | 'command'): string {
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
  const { blue, green, workers } = (await readJson<Partial<Occupants>>(occupantsFile(app))) ?? {};
  const isGreen = await stat(greenFlag(app)).then(
    () => true,
    () => false,
  );
  const flagged: Slot = isGreen ? 'green' : 'blue';
  const live = (flagged === 'green' ? green : blue) === undefined ? undefined : flagged;
  return { live, flagged, blue, green, workers };
}

/** Remembers what runs where, as one rename. */
export async function writeOccupants(app: string, { blue, green, workers }: Occupants): Promise<void> {
  await replaceText(occupantsFile(app), asText({ blue, green, workers }));
}

/** Sends requests to a slot from now on: one rename (or one removal) and a directory sync, nothing else. */
export async function flip(app: string, to: Slot): Promise<void> {
  const flag = greenFlag(app);
  // nginx's workers need search permission on the way and read nothing.
  await mkdir(dirname(flag), { recursive: true, mode: 0o755 });
  if (to === 'green') {
    await replaceText(flag, '', 0o644);
  } else {
    await rm(flag, { force: true });
    await syncFolder(dirname(flag));
  }
}

/** Forgets an app's slots and releases. */
export async function forgetReleases(app: string): Promise<void> {
  await rm(join(FLAGS, app), { recursive: true, force: true });
  await rm(releasesOf(app), { recursive: true, force: true });
}
