import type { Control, ControlContext } from '#playbook/control';
import type { PlaybookContext } from '#playbook/playbook';
import { type Declared, file } from '#playbook/resources';
import { template } from '#playbook/template';

const LIMITS = '/etc/security/limits.d/50-slipway.conf';
const COREDUMP = '/etc/systemd/coredump.conf.d/50-slipway.conf';
const PROFILE = '/etc/profile.d/50-slipway-core.sh';

/**
 * No memory images of crashed programs: not by PAM's limits, not by a shell, not by systemd's collector. The kernel's own
 * pattern is among its parameters.
 */
export function coreDumps(context: PlaybookContext): readonly Declared[] {
  if (context.environment.harden.coreDumps) return [];
  return [
    file({ path: LIMITS, content: '* - core 0\nroot - core 0\n' }),
    file({ path: PROFILE, content: 'ulimit -c 0\n' }),
    template(context, { path: COREDUMP, from: 'systemd/coredump.conf.hbs' }),
  ];
}

const why = 'A memory image holds every key and password that the program knew.';
const relax = '`harden.coreDumps`';
const unlessAllowed =
  (key: string) =>
  ({ environment }: ControlContext) =>
    environment.harden.coreDumps ? undefined : { key, expect: { is: '0644 root root' } };

/** What `deploy audit` asks about memory images. */
export const coreDumpControls: readonly Control[] = [
  {
    id: 'core-dumps-limits',
    title: 'logins may write no memory images',
    severity: 'low',
    ...{ why, relax },
    probe: 'file',
    check: unlessAllowed(LIMITS),
  },
  {
    id: 'core-dumps-shells',
    title: 'shells may write no memory images',
    severity: 'low',
    ...{ why, relax },
    probe: 'file',
    check: unlessAllowed(PROFILE),
  },
  {
    id: 'core-dumps-collector',
    title: "systemd's collector keeps no memory images",
    severity: 'low',
    ...{ why, relax },
    probe: 'systemd',
    check: ({ environment }) =>
      environment.harden.coreDumps ? undefined : { key: 'coredump.conf:Coredump.Storage', expect: { is: 'none' } },
  },
];
