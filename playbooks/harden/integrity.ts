import type { Control } from '#playbook/control';
import type { PlaybookContext } from '#playbook/playbook';
import { type Declared, file, systemdUnit } from '#playbook/resources';
import { packages } from '../packages.ts';

const DEBSUMS = '/etc/default/debsums';
const SHM = 'slipway-shm.service';

const SHM_UNIT = `[Unit]
Description=No programs from shared memory, by Slipway
After=local-fs.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/mount -o remount,nosuid,nodev,noexec /dev/shm
ExecStop=/bin/mount -o remount,exec /dev/shm

[Install]
WantedBy=multi-user.target
`;

/** Programs are those of packages: they are compared every week, and none is started from shared memory. */
export function integrity(context: PlaybookContext): readonly Declared[] {
  return [
    ...packages(context, ['debsums']),
    file({
      path: DEBSUMS,
      content: '# Written by Slipway: what packages brought is compared with their sums.\nCRON_CHECK=weekly\n',
    }),
    systemdUnit({ name: SHM, content: SHM_UNIT, enabled: true, active: 'started' }),
  ];
}

/** What `deploy audit` asks about programs. */
export const integrityControls: readonly Control[] = [
  {
    id: 'integrity-packages',
    title: 'files of packages are compared with their sums every week',
    severity: 'low',
    why: 'A program that somebody replaced is noticed; cron tells.',
    relax: 'nothing; it reads, and changes nothing',
    probe: 'file',
    check: () => ({ key: DEBSUMS, expect: { is: '0644 root root' } }),
  },
  {
    id: 'shared-memory',
    title: 'no program is started from shared memory',
    severity: 'low',
    why: 'Everybody may write there, and nothing of it is left on disk to be found.',
    relax: 'nothing; a container has a /dev/shm of its own',
    probe: 'service',
    check: () => ({ key: SHM, expect: { includes: ['active', 'enabled'] } }),
  },
];
