import { DeployError } from '#core/errors';
import { type ReleaseWord, releaseWordSchema } from '#protocol/release';
import type { Manner } from './manner.ts';

type Word = ReleaseWord['release'];

/** Seconds without a word after which a laptop that is waited for counts as gone: it says something every five. */
const SILENCE = 30;

/** What is heard from the laptop while a release is under way. */
export interface Ear {
  /** Whether the laptop has taken its order back. */
  readonly isAborted: boolean;
  /** Whether it has left, or fallen silent; only one that speaks for several hosts gives signs of life. */
  readonly isGone: boolean;
  /** Resolves with whether the laptop says so: with false once it has said `abort`, is gone, or has fallen silent. */
  hears(word: 'start' | 'flip'): Promise<boolean>;
}

/** For whoever brings a release live without asking back. */
export const DEAF: Ear = { isAborted: false, isGone: false, hears: async () => true };

/** A release that was called off. */
export function aborted(): DeployError {
  return new DeployError('release-aborted', 'The release was called off before the flip.', {
    hint: 'Traffic was not touched. Run the same command again when it is wanted.',
  });
}

/** Waits for the laptop's word; rejects with `release-aborted` where it is another. */
export async function toldTo(word: 'start' | 'flip', { ear }: Pick<Manner, 'ear'>): Promise<void> {
  if (!(await ear.hears(word))) throw aborted();
}

function parse(line: string): ReleaseWord | undefined {
  try {
    return releaseWordSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

/** Listens to the lines that come in after the request. */
export function openEar(): Ear & { hear(line: string): void; hangUp(): void } {
  const said = new Set<Word>();
  let isGone = false;
  let heardAt = performance.now();
  let wake: () => void = () => undefined;
  const isSilent = () =>
    new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(true), SILENCE * 1000);
      wake = () => {
        clearTimeout(timer);
        resolve(false);
      };
    });
  return {
    get isAborted() {
      return said.has('abort');
    },
    get isGone() {
      return isGone || performance.now() - heardAt > SILENCE * 1000;
    },
    async hears(word) {
      for (;;) {
        if (said.has('abort')) return false;
        if (said.has(word)) return true;
        if (isGone || (await isSilent())) return false;
      }
    },
    hear(line) {
      const word = parse(line)?.release;
      if (word === undefined) return;
      said.add(word);
      heardAt = performance.now();
      wake();
    },
    // Only who waits for a word asks for it; all others go on without a laptop.
    hangUp() {
      isGone = true;
      wake();
    },
  };
}
