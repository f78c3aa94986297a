import type { Control, ControlContext } from '#playbook/control';
import type { PlaybookContext, Warning } from '#playbook/playbook';
import { command, type Declared, systemdUnit } from '#playbook/resources';
import { template } from '#playbook/template';
import { packages } from '../packages.ts';

const RULES = '/etc/audit/rules.d/50-slipway.rules';

type Told = Pick<PlaybookContext, 'environment' | 'facts'>;

// The kernel writes one audit log for the machine; it lets no container have another.
const runs = ({ environment, facts }: Told) => environment.harden.auditd && !facts.container;

/** The kernel's own log of changes to accounts, sudo, SSH and the clock, where it is asked for. */
export function auditLog(context: PlaybookContext): readonly Declared[] {
  if (!runs(context)) return [];
  return [
    ...packages(context, ['auditd']),
    template(context, { path: RULES, from: 'auditd/slipway.rules.hbs', mode: '0640' }),
    command({
      name: 'audit rules',
      why: 'have the kernel take the audit rules over',
      check: ['sh', '-c', 'augenrules --check | grep -q "No change"'],
      command: ['augenrules', '--load'],
    }),
    systemdUnit({ name: 'auditd.service', enabled: true, active: 'started' }),
  ];
}

/** What is asked for and cannot be had on this host. */
export function auditLogWarnings({ environment, facts }: Told): readonly Warning[] {
  if (!environment.harden.auditd || !facts.container) return [];
  return [
    {
      message: 'auditd is left out: this host is a container, and the kernel keeps its audit log for the machine.',
      hint: 'Set `harden.auditd: false` for it, or run auditd on the machine below.',
    },
  ];
}

/** What `deploy audit` asks about the audit log. */
export const auditLogControls: readonly Control[] = [
  {
    id: 'audit-log',
    title: 'changes to accounts, sudo, SSH and the clock are logged by the kernel',
    severity: 'low',
    why: 'Who was on a host that was broken into can be told afterwards. It costs disk, so it is an option.',
    relax: '`harden.auditd`, off by default',
    probe: 'service',
    check: (context: ControlContext) =>
      runs(context) ? { key: 'auditd.service', expect: { includes: ['active', 'enabled'] } } : undefined,
  },
  {
    id: 'audit-log-rules',
    title: 'the audit rules are for root to read',
    severity: 'low',
    why: 'They say what is not watched.',
    relax: '`harden.auditd`, off by default',
    probe: 'file',
    check: (context: ControlContext) => (runs(context) ? { key: RULES, expect: { is: '0640 root root' } } : undefined),
  },
];
