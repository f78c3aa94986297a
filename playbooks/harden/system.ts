import type { Control } from '#playbook/control';
import type { PlaybookContext, Warning } from '#playbook/playbook';
import { type Declared, restart } from '#playbook/resources';
import { template } from '#playbook/template';
import { auditLog, auditLogControls, auditLogWarnings } from './audit-log.ts';
import { clock, clockControls } from './clock.ts';
import { coreDumpControls, coreDumps } from './core-dumps.ts';
import { integrity, integrityControls } from './integrity.ts';
import { moduleControls, modules } from './modules.ts';
import { passwordControls, passwords } from './passwords.ts';
import { permissionControls, permissions } from './permissions.ts';
import { swap, swapControls, swapWarnings } from './swap.ts';

const JOURNALD = '/etc/systemd/journald.conf.d/50-slipway.conf';

/** The journal within bounds, modules, memory images, the clock, permissions, and swap as declared. */
export function system(context: PlaybookContext): readonly Declared[] {
  return [
    template(
      context,
      { path: JOURNALD, from: 'journald/slipway.conf.hbs', data: { keep: context.environment.logs.keep } },
      { triggers: [restart('systemd-journald.service')] },
    ),
    ...modules(context),
    ...coreDumps(context),
    ...permissions(),
    ...passwords(context),
    ...integrity(context),
    ...clock(context),
    ...auditLog(context),
    ...swap(context),
  ];
}

/** What is declared and cannot be had on a host. */
export function systemWarnings(context: PlaybookContext): readonly Warning[] {
  return [...auditLogWarnings(context), ...swapWarnings(context)];
}

/** What `deploy audit` asks about the rest of the system. */
export const systemControls: readonly Control[] = [
  {
    id: 'journal-bounds',
    title: 'the journal stays within bounds',
    severity: 'low',
    why: 'Without bounds it fills the disk.',
    relax: '`logs.keep` for the time; the size is fixed',
    probe: 'systemd',
    check: () => ({ key: 'journald.conf:Journal.SystemMaxUse', expect: { is: '500M' } }),
  },
  {
    id: 'journal-storage',
    title: 'the journal survives a reboot',
    severity: 'medium',
    why: 'What happened before a crash is in it.',
    relax: 'nothing; fail2ban and the operator read it',
    probe: 'systemd',
    check: () => ({ key: 'journald.conf:Journal.Storage', expect: { is: 'persistent' } }),
  },
  {
    id: 'journal-persistent',
    title: 'the journal lies on disk',
    severity: 'medium',
    why: 'Traces of a break-in would be gone with a reboot.',
    relax: 'nothing; fail2ban and the operator read it',
    probe: 'file',
    check: () => ({
      key: '/var/log/journal',
      expect: { oneOf: ['2755 root systemd-journal', '2750 root systemd-journal'] },
    }),
  },
  {
    id: 'journal-service',
    title: 'the journal is written',
    severity: 'medium',
    why: 'Without it nobody is banned and nothing can be looked up.',
    relax: 'nothing; every service logs to it',
    probe: 'service',
    check: () => ({ key: 'systemd-journald.service', expect: { includes: ['active'] } }),
  },
  ...moduleControls,
  ...coreDumpControls,
  ...permissionControls,
  ...passwordControls,
  ...integrityControls,
  ...clockControls,
  ...auditLogControls,
  ...swapControls,
];
