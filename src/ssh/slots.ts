/** Lets only so many things happen at a time; the others wait in line. */
export interface Slots {
  /** Waits for a slot; call the result to give it back. */
  take(signal: AbortSignal): Promise<() => void>;
  /** How many are taken. */
  readonly taken: number;
  /** Allows no more than are taken without this one: the other side has just refused one more. */
  shrink(): void;
}

/** A line of so many slots. */
export function slots(most: number): Slots {
  const waiting: (() => void)[] = [];
  let limit = most;
  let taken = 0;
  const next = () => {
    while (taken < limit && waiting.length > 0) waiting.shift()?.();
  };
  return {
    take: (signal) =>
      new Promise((resolve, reject) => {
        const abort = () => {
          waiting.splice(waiting.indexOf(start), 1);
          reject(signal.reason);
        };
        const start = () => {
          signal.removeEventListener('abort', abort);
          taken += 1;
          let given = false;
          resolve(() => {
            if (given) return;
            given = true;
            taken -= 1;
            next();
          });
        };
        if (signal.aborted) return reject(signal.reason);
        signal.addEventListener('abort', abort, { once: true });
        waiting.push(start);
        next();
      }),
    get taken() {
      return taken;
    },
    shrink: () => {
      limit = Math.max(1, taken - 1);
    },
  };
}
