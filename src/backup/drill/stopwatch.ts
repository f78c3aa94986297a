import type { DrillReport } from '#protocol/backup';

interface Phase {
  readonly name: string;
  readonly from: number;
  to?: number;
}

/** Measures how long each phase takes, one after the other, pauses between them left out. */
export class Stopwatch {
  readonly #phases: Phase[] = [];

  /** Ends the phase before, and begins the next. */
  phase(name: string): void {
    this.end();
    this.#phases.push({ name, from: performance.now() });
  }

  /** Ends the last phase, where it has not ended. */
  end(): void {
    const last = this.#phases.at(-1);
    if (last !== undefined) last.to ??= performance.now();
  }

  /** Seconds of each phase, in order. */
  get phases(): DrillReport['phases'] {
    return this.#phases.map(({ name, from, to = performance.now() }) => ({ name, duration: (to - from) / 1000 }));
  }

  /** Seconds of all phases. */
  get seconds(): number {
    return this.phases.reduce((sum, { duration }) => sum + duration, 0);
  }
}
