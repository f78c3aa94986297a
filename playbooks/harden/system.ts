import type { Control } from '#playbook/control';
import type { PlaybookContext } from '#playbook/playbook';
import { type Declared, restart } from '#playbook/resources';
import { template } from '#playbook/template';
import { swap } from './swap.ts';

/** The journal within bounds, and swap as declared. */
export function system(context: PlaybookContext): readonly Declared[] {
  return [
    template(
      context,
      {
        path: '/etc/systemd/journald.conf.d/50-slipway.conf',
        from: 'journald/slipway.conf.hbs',
        data: { keep: context.environment.logs.keep },
      },
      { triggers: [restart('systemd-journald.service')] },
    ),
    ...swap(context),
  ];
}

/** What `deploy audit` asks about the rest of the system. */
export const systemControls: readonly Control[] = [];
