/** A time allowance that stands still while a person is asked something. */
export interface Deadline {
  /** Aborted when the time is over, or with the signal that was given; its reason is what the caller made of it. */
  readonly signal: AbortSignal;
  /** Runs something that does not count, such as a question to a person. */
  paused<T>(work: () => Promise<T>): Promise<T>;
  /** Ends the watch; the signal is never aborted after this. */
  clear(): void;
}

/** Starts a deadline of so many seconds; `expired` and `aborted` say what its end is called. */
export function startDeadline(
  seconds: number,
  given: AbortSignal | undefined,
  expired: () => Error,
  aborted: () => Error,
): Deadline {
  const controller = new AbortController();
  let left = seconds * 1000;
  let started = performance.now();
  const expire = () => controller.abort(expired());
  let timer = setTimeout(expire, left);
  const abort = () => controller.abort(aborted());
  if (given?.aborted === true) abort();
  given?.addEventListener('abort', abort, { once: true });
  return {
    signal: controller.signal,
    paused: async (work) => {
      clearTimeout(timer);
      left -= performance.now() - started;
      try {
        return await work();
      } finally {
        started = performance.now();
        if (!controller.signal.aborted) timer = setTimeout(expire, Math.max(left, 1000));
      }
    },
    clear: () => {
      clearTimeout(timer);
      given?.removeEventListener('abort', abort);
    },
  };
}

/** What a promise gives, or the signal's reason if that comes first. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
