import type { Generation } from './generation.ts';
import { isReceiving, type Observation, SLOT } from './observe.ts';

/** Everything that decides what is done about a receiver. */
export interface Situation {
  readonly seen: Pick<Observation, 'systemId' | 'segmentBytes' | 'slot' | 'sender'>;
  readonly generation: Generation | undefined;
  /** Whether a receiver runs that is made as it should be. */
  readonly fits: boolean;
  /** Whether it is old enough to have said something. */
  readonly settled: boolean;
  /** What it said of late. */
  readonly words: string;
  /** Whether the file that the receiver writes to is where it should be. */
  readonly archive: 'in place' | 'empty' | 'elsewhere';
  /** Files of the archive whose size no receiver goes on from. */
  readonly odd: readonly string[];
  /** Whether there is space left for what we write. */
  readonly space: boolean;
}

/** What is to be done next; `wait` only once nothing is wrong but time. */
export type Step =
  | { readonly do: 'nothing' | 'wait' | 'make slot' | 'start' | 'stop' | 'truncate' }
  | { readonly do: 'begin'; readonly gap?: string; readonly newSlot: boolean }
  | { readonly do: 'complain'; readonly why: string };

/** Words after which the log cannot go on where the archive ends, and what they mean. */
const GAPS: readonly (readonly [RegExp, string])[] = [
  [/requested WAL segment \S+ has already been removed/, 'the server no longer had the log that comes next'],
  [/is ahead of the WAL flush position of this server/, 'the server went back behind what was received'],
  [/is not in this server's history|on timeline \d+ is not/, 'the server went on from an earlier moment'],
];

/** Words that tell of something which only a person can mend. */
const REFUSALS =
  /no pg_hba\.conf entry|pg_hba\.conf rejects|authentication failed|no password supplied|exceeds "?max_wal_senders|remaining connection slots|too many clients|role \S+ does not exist|permission denied|is active for PID/;

/** The last line of several: the newest. */
function lastOf(words: string): string {
  return words.split('\n').at(-1)?.trim() ?? '';
}

/** What to do about a receiver that may be in any of the states from which it does not come back by itself. Pure. */
export function decide({ seen, generation, fits, settled, words, archive, odd, space }: Situation): Step {
  const { slot, sender } = seen;
  if (generation === undefined) return { do: 'begin', newSlot: slot?.from === undefined };
  if (generation.systemId !== seen.systemId || generation.segmentBytes !== seen.segmentBytes) {
    const gap = `another cluster answers: its system identifier is ${seen.systemId}, not ${generation.systemId}`;
    return { do: 'begin', gap, newSlot: slot?.from === undefined };
  }
  if (sender !== undefined && sender.program !== SLOT) {
    return { do: 'complain', why: `the replication slot ${SLOT} is used by ${sender.program || 'another program'}` };
  }
  if (slot?.status === 'lost') {
    return { do: 'begin', gap: 'nobody received for so long that the server gave the log up', newSlot: true };
  }
  // Without a position the slot keeps nothing back: whoever made it made it for something else.
  if (slot === undefined || slot.type !== 'physical' || (slot.from === undefined && !isReceiving(seen))) {
    return archive === 'empty'
      ? { do: 'begin', gap: 'the replication slot and the archive were gone', newSlot: true }
      : { do: 'make slot' };
  }
  if (!space) return { do: 'stop' };
  if (archive === 'elsewhere') return { do: 'start' };
  if (isReceiving(seen)) return fits ? { do: 'nothing' } : { do: 'start' };
  if (odd.length > 0) return { do: 'truncate' };
  const gap = GAPS.find(([pattern]) => pattern.test(words));
  // Who asked for log that is gone may have taken the slot back to there, and nobody could go on from it.
  if (gap !== undefined) return { do: 'begin', gap: gap[1], newSlot: true };
  if (!fits) return { do: 'start' };
  if (REFUSALS.test(words)) return { do: 'complain', why: lastOf(words) };
  return settled ? { do: 'start' } : { do: 'wait' };
}
