import type { Control, ControlContext } from '#playbook/control';
import type { PlaybookContext } from '#playbook/playbook';
import { type Declared, systemdUnit } from '#playbook/resources';
import { packages } from '../packages.ts';

const OWN = 'systemd-timesyncd';

/** Who keeps the clock of a host; nobody in a container, whose clock is its host's, or where the inventory says so. */
function keeper({ environment, facts }: Pick<PlaybookContext, 'environment' | 'facts'>): string | undefined {
  return environment.harden.timeSync && !facts.container ? (facts.timeDaemon ?? OWN) : undefined;
}

/** The clock kept by NTP: by the daemon that is there already, since installing another would remove it. */
export function clock(context: PlaybookContext): readonly Declared[] {
  const daemon = keeper(context);
  if (daemon === undefined) return [];
  return [
    ...packages(context, daemon === OWN ? [OWN] : []),
    systemdUnit({ name: `${daemon}.service`, enabled: true, active: 'started' }),
  ];
}

/** What `deploy audit` asks about the clock. */
export const clockControls: readonly Control[] = [
  {
    id: 'time-sync',
    title: 'the clock is kept',
    severity: 'medium',
    why: 'Certificates, logs and one-time codes are wrong where the clock is.',
    relax: '`harden.timeSync`',
    probe: 'service',
    check(context: ControlContext) {
      const daemon = keeper(context);
      if (daemon === undefined) return undefined;
      return { key: `${daemon}.service`, expect: { includes: ['active', 'enabled'] } };
    },
  },
];
