import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod';
import { DeployError } from '#core/errors';
import { lastLines, type Output, run } from '#core/run';
import { type Archive, openArchive } from './archive.ts';

/** An image as this machine's own engine has it. */
export interface EngineImage {
  /** The reference, or the id, that it was asked for by. */
  readonly reference: string;
  /** `sha256:…` as this engine names it. */
  readonly id: string;
  readonly architecture: string;
  /** Diff ids, from the lowest up. */
  readonly layers: readonly string[];
}

const inspected = z.object({
  Id: z.string(),
  Architecture: z.string(),
  RootFS: z.object({ Layers: z.array(z.string()).nullish() }),
});

/** Seconds for writing images to disk: 10 GB at 10 MB/s. */
const SAVE = 1000;

/** Tried in this order; the `docker` of a machine with Podman alone is often Podman under that name. */
const PROGRAMS = ['docker', 'podman'] as const;

const isMissing = ({ exitCode }: Output): boolean => exitCode === 127;

async function ask(args: readonly string[], timeout: number): Promise<{ program: string; output: Output }> {
  let last: { program: string; output: Output } | undefined;
  for (const program of PROGRAMS) {
    last = { program, output: await run([program, ...args], { timeout }) };
    if (!isMissing(last.output)) return last;
  }
  throw new DeployError('engine-unreachable', 'There is neither docker nor podman on this machine.', {
    hint: 'Install one, or release from an archive (`--images shop.tar`) or a registry (`--images registry`).',
  });
}

/** The image that this machine's engine has under a name or id; undefined where it has none. */
export async function inspectLocal(reference: string): Promise<EngineImage | undefined> {
  // As whoever types `docker` has it: DOCKER_HOST, contexts and all else are the program's own business.
  const { program, output } = await ask(['image', 'inspect', reference], 30);
  if (output.exitCode !== 0) {
    if (/no such image|image not known|no such object/i.test(output.stderr)) return undefined;
    throw new DeployError('engine-unreachable', `${program} on this machine does not answer: ${lastLines(output, 2)}`, {
      hint: `Start it, and see that \`${program} images\` works here; then run the same command again.`,
    });
  }
  const [image] = z.array(inspected).parse(JSON.parse(output.stdout));
  if (image === undefined) return undefined;
  const id = image.Id.startsWith('sha256:') ? image.Id : `sha256:${image.Id}`;
  return { reference, id, architecture: image.Architecture, layers: image.RootFS.Layers ?? [] };
}

/** Has the engine write images to disk, where they can be read in any order; the file goes with the archive. */
export async function saveLocal(references: readonly string[]): Promise<Archive> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-images-'));
  const file = join(folder, 'images.tar');
  // Whoever presses Ctrl-C is not to find gigabytes in /tmp.
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.once('exit', remove);
  try {
    let { program, output } = await ask(['save', '--output', file, ...references], SAVE);
    if (program === 'podman' && references.length > 1) {
      output = await run(['podman', 'save', '--multi-image-archive', '--output', file, ...references], {
        timeout: SAVE,
      });
    }
    if (output.exitCode !== 0) {
      throw new DeployError(
        'engine-unreachable',
        `${program} could not save ${references.join(', ')}: ${lastLines(output, 3)}`,
        { hint: `See that ${folder} has room (df -h), then run the same command again.` },
      );
    }
    const archive = await openArchive(file);
    return {
      ...archive,
      [Symbol.asyncDispose]: async () => {
        await archive[Symbol.asyncDispose]();
        process.off('exit', remove);
        remove();
      },
    };
  } catch (error) {
    remove();
    throw error;
  }
}
