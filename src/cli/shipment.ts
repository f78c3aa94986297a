import { mainService } from '#cli/images';
import { DeployError } from '#core/errors';
import { repositoryOf } from '#core/image-name';
import { formatBytes } from '#core/units';
import { type Archive, type ArchivedImage, openArchive } from '#images/archive';
import { contextParcel } from '#images/context';
import { type EngineImage, inspectLocal, saveLocal } from '#images/engine';
import { imageParcel, type Parcel } from '#images/parcel';
import { sendParcels } from '#images/send';
import type { Environment } from '#inventory/environment';
import type { Declaration } from '#protocol/plan';
import type { Connection } from '#ssh/connection';
import { asRoot, type Bundle } from '#ssh/runner';

/** The way to a host on which images can travel. */
interface Way {
  readonly connection: Connection;
  readonly bundle: Bundle;
}

/** Where a release's images come from, if not from a registry: what they are, and how they get to a host. */
export interface Shipment extends AsyncDisposable {
  /** What each image is, by its reference; nothing for those that a registry has. */
  readonly pins: Readonly<Record<string, string>>;
  /** Sends a host what it lacks; `say` hears how far it is, `note` what is worth a line of its own. */
  bring(way: Way, say: (message: string) => void, note: (message: string) => void): Promise<void>;
}

const NOTHING: Shipment = {
  pins: {},
  bring: () => Promise.resolve(),
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

function shipmentOf(app: string, parcels: readonly Parcel[], release: () => Promise<void>): Shipment {
  return {
    pins: Object.fromEntries(parcels.map(({ offered }) => [offered.reference, offered.pin])),
    async bring({ connection, bundle }, say, note) {
      const argv = [`${bundle.folder}/slipway-host`, 'images'];
      const session = await connection.open(asRoot(connection.user, argv));
      await sendParcels(session, connection.target.name, app, parcels, ({ sent, total, blobs, references }) => {
        const what = references.join(', ');
        if (sent === 0)
          note(`sending ${what}: ${formatBytes(total)} in ${blobs === 1 ? 'one part' : `${blobs} parts`}`);
        else say(`sending ${what}: ${formatBytes(sent)} of ${formatBytes(total)}`);
      });
    },
    [Symbol.asyncDispose]: release,
  };
}

/** The references that have to come from this machine: those of the app's own repository. */
function ownReferences({ services, ...environment }: Environment): ReadonlySet<string> {
  const main = services[mainService({ services, ...environment }) ?? '']?.image ?? '';
  const images = Object.values(services).map(({ image }) => image);
  return new Set(images.filter((image) => repositoryOf(image) === repositoryOf(main)));
}

const referencesOf = ({ services }: Environment): readonly string[] => [
  ...new Set(Object.values(services).map(({ image }) => image)),
];

/** The image of an engine in the archive that the engine has written. */
function savedAs(archive: Archive, { id, reference, layers }: EngineImage): ArchivedImage {
  const isAlike = (image: ArchivedImage) =>
    JSON.stringify(image.layers.map((one) => one.diffId)) === JSON.stringify(layers);
  const { images } = archive;
  const found =
    images.find((image) => image.id === id) ??
    images.find((image) => isAlike(image) && image.names.some((name) => isNamed(name, reference))) ??
    images.find(isAlike);
  if (found !== undefined) return found;
  throw new DeployError('archive-invalid', `The engine of this machine wrote an archive without ${reference}.`, {
    hint: 'Run the same command again: the image has just been made anew.',
  });
}

/** Ships images that this machine's engine has, each under the reference that the release names it by. */
export function engineShipment(app: string, images: readonly EngineImage[]): Shipment {
  let saved: Promise<Archive> | undefined;
  const open = async (image: EngineImage) => {
    saved ??= saveLocal([...new Set(images.map(({ id }) => id))]);
    const archive = await saved;
    return { archive, image: savedAs(archive, image) };
  };
  const parcels = images.map((image) => {
    const { reference, id, architecture, layers } = image;
    const offered = { kind: 'image' as const, reference, pin: id, architecture, layers: [...layers] };
    return imageParcel(offered, () => open(image));
  });
  return shipmentOf(app, parcels, async () => {
    await (await saved?.catch(() => undefined))?.[Symbol.asyncDispose]();
  });
}

function notHere(reference: string, where: string): DeployError {
  return new DeployError('image-not-local', `${where} has no image ${reference}.`, {
    hint: `Build it under this name (\`docker build --tag ${reference} .\`), or release from the registry with \`--images registry\`.`,
  });
}

async function fromEngine(environment: Environment): Promise<Shipment> {
  const own = ownReferences(environment);
  const found = await Promise.all(
    referencesOf(environment).map(async (reference) => {
      const image = await inspectLocal(reference);
      if (image === undefined && own.has(reference)) throw notHere(reference, 'The engine of this machine');
      return image === undefined ? [] : [image];
    }),
  );
  return engineShipment(environment.app, found.flat());
}

/** A reference as engines write it in full: with its registry, and with its tag. */
function inFull(reference: string): string {
  const name = reference.replace(/^(?:docker\.io\/|localhost\/)?(?:library\/)?/, '');
  return repositoryOf(name) === name ? `${name}:latest` : name;
}

const isNamed = (name: string, reference: string): boolean => inFull(name) === inFull(reference);

async function fromArchive(environment: Environment, path: string): Promise<Shipment> {
  const archive = await openArchive(path);
  const own = ownReferences(environment);
  const [only, ...others] = archive.images;
  const parcels = referencesOf(environment).flatMap((reference) => {
    const named = archive.images.find(({ names }) => names.some((name) => isNamed(name, reference)));
    // An archive of one image, by whatever name, is of the app itself.
    const image = named ?? (own.has(reference) && others.length === 0 ? only : undefined);
    if (image === undefined && own.has(reference)) throw notHere(reference, path);
    if (image === undefined) return [];
    const { id, architecture } = image;
    const layers = image.layers.map(({ diffId }) => diffId);
    const offered = { kind: 'image' as const, reference, pin: id, architecture, layers };
    return [imageParcel(offered, () => Promise.resolve({ archive, image }))];
  });
  return shipmentOf(environment.app, parcels, async () => archive[Symbol.asyncDispose]());
}

async function fromContexts({ app, services, name }: Environment): Promise<Shipment> {
  const built = Object.values(services).flatMap(({ image, build }) =>
    build === undefined ? [] : [[image, build] as const],
  );
  if (built.length === 0) {
    throw new DeployError('usage', `No service of ${name} says how its image is built.`, {
      hint: `Write \`build: .\` to a service in inventory/${name}.yaml, or leave out \`--images build\`.`,
    });
  }
  // Of two services with one image the first says how it is made, as for Compose.
  const first = new Map([...built].reverse());
  const parcels = [...first].map(([image, build]) => contextParcel(image, build));
  return shipmentOf(app, await Promise.all(parcels), () => Promise.resolve());
}

/** What is shipped for an environment, from where it says or, for once, from `source`: a word, or an archive's path. */
export async function shipmentFor(
  environment: Environment,
  source: string = environment.release.images,
): Promise<Shipment> {
  if (source === 'registry' || Object.keys(environment.services).length === 0) return NOTHING;
  if (source === 'build') return fromContexts(environment);
  return source === 'local' ? fromEngine(environment) : fromArchive(environment, source);
}

/** What the playbooks declare, with the release's images pinned to those that are shipped. */
export function withPins(resources: readonly Declaration[], { pins }: Shipment): readonly Declaration[] {
  if (Object.keys(pins).length === 0) return resources;
  return resources.map((one) => (one.kind === 'release' ? { ...one, props: { ...one.props, pins } } : one));
}
