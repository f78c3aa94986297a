/** Runs over all, a few at a time, and keeps their order. After the first that fails nothing new is begun. */
export async function fewAtOnce<T, R>(
  most: number,
  all: readonly T[],
  act: (one: T) => Promise<R>,
): Promise<readonly R[]> {
  const results: R[] = [];
  const left = [...all.entries()];
  const work = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const [index, one] = next;
      try {
        results[index] = await act(one);
      } catch (error) {
        left.length = 0;
        throw error;
      }
    }
  };
  // Whoever is at work ends it: what the caller clears away afterwards must not be written any more.
  for (const worker of await Promise.allSettled(Array.from({ length: most }, work))) {
    if (worker.status === 'rejected') throw worker.reason;
  }
  return results;
}
