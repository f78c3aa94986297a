import { DEAF, type Ear } from './ear.ts';

/** How a release is brought live: alone, or together with other hosts that the laptop speaks for. */
export interface Manner {
  /** Wait for the laptop's word before the flip. */
  readonly hold: boolean;
  /** The release command runs on another host: wait for the laptop's word before the new slot is started. */
  readonly commandElsewhere: boolean;
  /** End after each step of the canary, until somebody says how it goes on. */
  readonly pause: boolean;
  /** What is brought live is not what the inventory names, so the next `up` would replace it. */
  readonly departs: boolean;
  readonly ear: Ear;
}

/** Without asking back. */
export const ALONE: Manner = { hold: false, commandElsewhere: false, pause: false, departs: false, ear: DEAF };
