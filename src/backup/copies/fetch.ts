import { LONG } from '#backup/snapshots';
import type { Store } from '#backup/store/store';
import { DeployError } from '#core/errors';
import { lastLines, type Output } from '#core/run';
import { formatBytes } from '#core/units';
import type { DrillCheck } from '#protocol/backup';

interface Restoration {
  readonly message_type?: string;
  readonly files_restored?: number;
  readonly bytes_restored?: number;
  readonly item?: string;
  readonly error?: { readonly message?: string };
}

function told(text: string): readonly Restoration[] {
  return text.split('\n').flatMap((line) => {
    try {
      return line.startsWith('{') ? [JSON.parse(line) as Restoration] : [];
    } catch {
      return [];
    }
  });
}

/** What a restoration has named as broken, for a person. */
export function faultsIn(output: Output): string {
  const faults = told(`${output.stdout}\n${output.stderr}`).flatMap(({ message_type, item = '', error }) =>
    message_type === 'error' ? [`${item}: ${error?.message ?? 'it cannot be restored'}`] : [],
  );
  return faults.length === 0 ? lastLines(output) : faults.slice(0, 5).join('\n');
}

/** Restores what lies below a path of a snapshot into a folder, and reads it again to see that it is what was stored. */
export async function fetchTree(
  store: Store,
  snapshot: string,
  path: string,
  folder: string,
  only: readonly string[] = [],
): Promise<DrillCheck> {
  const began = performance.now();
  const some = only.flatMap((pattern) => ['--include', pattern]);
  const output = await store.restic(
    ['restore', `${snapshot}:${path}`, '--target', folder, '--verify', '--sparse', '--json', '--quiet', ...some],
    { timeout: LONG },
  );
  if (output.exitCode !== 0) {
    throw new DeployError(
      'copy-broken',
      `Snapshot ${snapshot} in ${store.name} cannot be restored:\n${faultsIn(output)}`,
      {
        hint: 'Take a new copy at once with `deploy backup now <environment>`; an older one, or the other repository, may be whole.',
      },
    );
  }
  const { files_restored: files = 0, bytes_restored: bytes = 0 } =
    told(output.stdout).find(({ message_type }) => message_type === 'summary') ?? {};
  const duration = (performance.now() - began) / 1000;
  const entries = files === 1 ? 'one entry' : `${files} entries`;
  const found = `${formatBytes(bytes)} in ${entries}, read again after being written`;
  return { name: 'restic', result: 'passed', found, duration };
}
