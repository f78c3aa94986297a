import { mkdir, readdir, rm, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { DeployError } from '#core/errors';
import { formatBytes } from '#core/units';
import { type Cargo, cargoSchema, type Offer, type Offered, type Wanted } from '#protocol/images';
import type { Host } from '#resources/resource';
import { asText, readJson, replaceText } from './durable.ts';
import { findImage, pinnedName, refuseForeign } from './images.ts';
import { DISK, freeDisk } from './preflight.ts';

const FOLDER = '/var/lib/slipway/images';

/** Milliseconds that what was sent for a release which never came is kept, so that a next try need not send it again. */
const KEPT = 24 * 3600 * 1000;

/** An image is on the disk three times for a moment: as it came, as the engine unpacks it, and in the engine's store. */
const COPIES = 3;

const hex = (digest: string): string => digest.replace(/^sha256:/, '');
const cargoFile = (pin: string): string => join(FOLDER, `${hex(pin)}.json`);

/** Where a layer or a build context lies until a release needs it. */
export function blobFile(digest: string): string {
  return join(FOLDER, hex(digest));
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Whether all of a blob has come. */
export function hasBlob(digest: string): Promise<boolean> {
  return isThere(blobFile(digest));
}

/** What was sent under a pin; undefined where nothing was. */
export async function readCargo(pin: string): Promise<Cargo | undefined> {
  return cargoSchema.safeParse(await readJson(cargoFile(pin))).data;
}

/** Remembers what is being sent; its blobs follow. Build arguments may be secrets, so only root reads it. */
export async function writeCargo(cargo: Cargo): Promise<void> {
  await mkdir(FOLDER, { recursive: true, mode: 0o700 });
  await replaceText(cargoFile(cargo.pin), asText(cargo), 0o600);
}

const blobsOf = (cargo: Cargo): readonly string[] => (cargo.kind === 'image' ? cargo.layers : [cargo.pin]);

/** Forgets what was sent under a pin, and every blob that nothing else needs. */
export async function dropCargo(pin?: string): Promise<void> {
  if (pin !== undefined) await rm(cargoFile(pin), { force: true });
  const names = await readdir(FOLDER).catch(() => []);
  const pins = names.filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -'.json'.length));
  const cargos = await Promise.all(pins.map((name) => readCargo(`sha256:${name}`)));
  const needed = new Set(cargos.flatMap((cargo) => (cargo === undefined ? [] : blobsOf(cargo).map(hex))));
  for (const name of names) {
    // What is just arriving has a suffix of its own, and an age.
    if (/^[0-9a-f]{64}$/.test(name) && !needed.has(name)) await unlink(join(FOLDER, name)).catch(() => undefined);
  }
}

/** Forgets what was sent long ago and never used. */
async function dropOld(): Promise<void> {
  const before = Date.now() - KEPT;
  for (const name of await readdir(FOLDER).catch(() => [])) {
    const { mtimeMs } = await stat(join(FOLDER, name)).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
    if (mtimeMs < before && !/^[0-9a-f]{64}$/.test(name)) await rm(join(FOLDER, name), { force: true });
  }
  await dropCargo();
}

/** A layer is known to an engine by all the layers below it: the lowest n of an image, as one text for each n. */
export function chainsOf(layers: readonly string[]): readonly string[] {
  return layers.map((_, index) => layers.slice(0, index + 1).join(' '));
}

/** The layers of an image of which the engine has nothing: all above the highest that it has with all below. */
export function missingLayers(layers: readonly string[], known: ReadonlySet<string>): readonly string[] {
  const chains = chainsOf(layers);
  const top = chains.findLastIndex((chain) => known.has(chain));
  return layers.slice(top + 1);
}

interface Inspected {
  readonly RootFS?: { readonly Layers?: readonly string[] };
}

interface Info {
  readonly DriverStatus?: readonly (readonly string[])[];
}

/** What the engine has; none of it where its store takes no image without all of its layers. */
async function knownChains(host: Host): Promise<ReadonlySet<string>> {
  const info = await host.docker<Info>('/info');
  if ((info?.DriverStatus ?? []).flat().some((text) => text.startsWith('io.containerd.'))) return new Set();
  const images = (await host.docker<{ Id: string }[]>('/images/json')) ?? [];
  const known = await Promise.all(images.map(({ Id }) => host.docker<Inspected>(`/images/${Id}/json`)));
  return new Set(known.flatMap((image) => chainsOf(image?.RootFS?.Layers ?? [])));
}

/** What of an offer this host lacks. An image that could not run here is refused before any of it is sent. */
export async function wantedOf(host: Host, { app, images }: Offer): Promise<Wanted> {
  for (const image of images) {
    if (image.kind === 'image') await refuseForeign(host, image.reference, image.architecture);
  }
  await dropOld();
  const there = await Promise.all(images.map(({ reference, pin }) => findImage(host, pinnedName(app, reference, pin))));
  const absent = images.filter((_, index) => there[index] === undefined);
  if (absent.length === 0) return [];
  const known = absent.some(({ kind }) => kind === 'image') ? await knownChains(host) : new Set<string>();
  const lacking = async (offered: Offered) => {
    const all = offered.kind === 'image' ? missingLayers(offered.layers, known) : [offered.pin];
    const has = await Promise.all(all.map(hasBlob));
    return { pin: offered.pin, blobs: all.filter((_, index) => has[index] !== true) };
  };
  return Promise.all(absent.map(lacking));
}

/** Refuses what would fill the disk. */
export async function refuseTooLarge(bytes: number): Promise<void> {
  const [free, needed] = [await freeDisk(), COPIES * bytes + DISK];
  if (free >= needed) return;
  throw new DeployError(
    'disk-full',
    `Only ${formatBytes(free)} are free for images and containers; ${formatBytes(bytes)} of layers need ${formatBytes(needed)} while they are loaded.`,
    { hint: 'Nothing was sent. Make room: `df -h` and `docker system df` on the host show what is there.' },
  );
}
