import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatBytes, formatSeconds } from '#core/units';
import { locked } from '../lock.ts';
import { CACHE } from '../places.ts';
import { checkRequirements } from '../requirements.ts';
import { removeTree } from '../tree.ts';
import { type PackedLayer, pack } from './archive.ts';
import type { Layer } from './layer.ts';

/** Where built layers are kept between runs. */
const IMAGE_CACHE = `${CACHE}/images`;

/** Layers made at the same time: installing is half waiting for the disk, and the sandbox is meant for two cores. */
const AT_ONCE = 2;

/** Milliseconds since it was made after which a layer that is not asked for goes, when another is made: 30 days. */
const KEPT_FOR = 30 * 86_400_000;

/** A layer in the cache. */
export interface CachedLayer extends PackedLayer {
  /** The compressed archive. */
  readonly file: string;
}

function folderOf(layer: Layer): string {
  return join(IMAGE_CACHE, `${layer.name}-${layer.key}`);
}

function cached(layer: Layer): CachedLayer | undefined {
  const folder = folderOf(layer);
  try {
    const packed = JSON.parse(readFileSync(join(folder, 'layer.json'), 'utf8')) as PackedLayer;
    const file = join(folder, 'layer.tar.gz');
    const whole = statSync(file).size === packed.size && (!layer.keepsTree || existsSync(join(folder, 'tree')));
    return whole ? { ...packed, file } : undefined;
  } catch {
    return undefined;
  }
}

async function make(layer: Layer, onProgress: (text: string) => void): Promise<void> {
  const started = performance.now();
  // A name of this process's own: programs of a killed one may still be writing to theirs.
  const folder = `${folderOf(layer)}.unfinished-${process.pid}`;
  mkdirSync(folder, { recursive: true });
  const contents = await layer.make({ folder, treeOf: (below) => join(folderOf(below), 'tree') });
  const packed = await pack(contents, join(folder, 'layer.tar.gz'));
  if (!layer.keepsTree) rmSync(join(folder, 'tree'), { recursive: true, force: true });
  writeFileSync(join(folder, 'layer.json'), JSON.stringify(packed));
  rmSync(folderOf(layer), { recursive: true, force: true });
  renameSync(folder, folderOf(layer));
  const seconds = formatSeconds((performance.now() - started) / 1000);
  onProgress(`Made the image layer ${layer.name}: ${formatBytes(packed.size)} in ${seconds}`);
}

/** Ends when every task has; the first failure is thrown after the others have come to rest. */
async function inParallel<T>(items: readonly T[], task: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await task(item);
  };
  const ends = await Promise.allSettled(Array.from({ length: AT_ONCE }, worker));
  const failure = ends.find((end) => end.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
}

/** What killed builds left behind, and layers that no recipe has asked for lately. */
function abandoned(wanted: readonly Layer[]): string[] {
  const inUse = new Set(wanted.map(folderOf));
  const folders = readdirSync(IMAGE_CACHE).map((name) => join(IMAGE_CACHE, name));
  return folders.filter((folder) => {
    if (inUse.has(folder)) return false;
    return folder.includes('.unfinished') || Date.now() - statSync(folder).mtimeMs > KEPT_FOR;
  });
}

async function makeMissing(layers: readonly Layer[], onProgress: (text: string) => void): Promise<void> {
  // What cannot be removed yet is removed next time.
  for (const folder of abandoned(layers)) await removeTree(folder).catch(() => undefined);
  const missing = layers.filter((layer) => cached(layer) === undefined);
  const below = new Set(missing.flatMap(({ needs }) => needs).filter((layer) => cached(layer) === undefined));
  for (const layer of below) {
    onProgress(`Making the image layer ${layer.name}`);
    await make(layer, onProgress);
  }
  await inParallel(
    missing.filter((layer) => !below.has(layer)),
    (layer) => make(layer, onProgress),
  );
}

/** The layers from the cache; those it lacks are made first, two at a time, by one process at a time. */
export async function ensureLayers(
  layers: readonly Layer[],
  onProgress: (text: string) => void,
): Promise<Map<Layer, CachedLayer>> {
  const wanted = [...new Set(layers)];
  if (wanted.some((layer) => cached(layer) === undefined)) {
    await checkRequirements();
    mkdirSync(IMAGE_CACHE, { recursive: true, mode: 0o755 });
    await locked('images', () => makeMissing(wanted, onProgress));
  }
  return new Map(
    wanted.map((layer) => {
      const entry = cached(layer);
      if (entry === undefined) throw new Error(`the layer ${layer.name} vanished from ${IMAGE_CACHE}`);
      return [layer, entry];
    }),
  );
}
