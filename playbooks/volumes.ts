import type { Volume } from '#inventory/environment';
import { command, type Declared } from '#playbook/resources';
import { volumeName } from './compose-text.ts';

/**
 * The named volumes among these, made before whoever uses them: both slots share one, and none of them may take it along
 * when it goes. They are never removed, since they hold data.
 */
export function volumeResources(app: string, volumes: readonly Volume[]): readonly Declared[] {
  const names = new Set(volumes.filter(({ type }) => type === 'volume').map(({ source }) => volumeName(app, source)));
  return [...names].sort().map((name) =>
    command({
      name: `docker volume ${name}`,
      why: `make the volume ${name}`,
      check: ['docker', 'volume', 'inspect', name],
      command: ['docker', 'volume', 'create', name],
    }),
  );
}
