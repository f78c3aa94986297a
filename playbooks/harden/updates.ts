import type { Control } from '#playbook/control';
import type { PlaybookContext } from '#playbook/playbook';
import type { Declared } from '#playbook/resources';
import { template } from '#playbook/template';
import { dockerSource } from '../docker-source.ts';

/** Security updates every day; what carries connections is not restarted behind anyone's back. */
export function updates(context: PlaybookContext): readonly Declared[] {
  const { unattendedUpgrades } = context.environment.harden;
  const dockerRepository = dockerSource(context.facts).repository !== undefined;
  return [
    template(context, {
      path: '/etc/apt/apt.conf.d/52slipway',
      from: 'apt/unattended-upgrades.hbs',
      data: { ...unattendedUpgrades, dockerRepository },
    }),
    template(context, { path: '/etc/needrestart/conf.d/50-slipway.conf', from: 'needrestart/slipway.conf.hbs' }),
  ];
}

/** What `deploy audit` asks about updates. */
export const updateControls: readonly Control[] = [];
