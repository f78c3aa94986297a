import { type ReleaseWord, releaseWordSchema } from '#protocol/release';

/** What is heard from the laptop while a release is under way. */
export interface Ear {
  /** Whether the laptop has taken its order back. */
  readonly isAborted: boolean;
  /** The laptop's word on a release that holds; a laptop that is gone has said `abort`. */
  word(): Promise<ReleaseWord['release']>;
}

/** For whoever brings a release live without asking back. */
export const DEAF: Ear = { isAborted: false, word: async () => 'flip' };

function parse(line: string): ReleaseWord | undefined {
  try {
    return releaseWordSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

/** Listens to the lines that come in after the request. */
export function openEar(): Ear & { hear(line: string): void; hangUp(): void } {
  let resolve: (word: ReleaseWord['release']) => void = () => undefined;
  const promise = new Promise<ReleaseWord['release']>((settle) => {
    resolve = settle;
  });
  let isAborted = false;
  return {
    get isAborted() {
      return isAborted;
    },
    word: () => promise,
    hear(line) {
      const said = parse(line)?.release;
      if (said === undefined) return;
      if (said === 'abort') isAborted = true;
      resolve(said);
    },
    // Only a release that holds asks for the word; all others go on without a laptop.
    hangUp: () => resolve('abort'),
  };
}
