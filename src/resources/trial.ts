import type { Host } from '#resources/resource';

/** A private folder in memory for trying something out, gone afterwards. */
export async function inTrialFolder<T>(host: Host, attempt: (folder: string) => Promise<T>): Promise<T> {
  const made = await host.must(['mktemp', '--directory', '/run/slipway-trial-XXXXXXXX']);
  const folder = made.stdout.trim();
  try {
    return await attempt(folder);
  } finally {
    await host.run(['rm', '-rf', '--', folder]);
  }
}
