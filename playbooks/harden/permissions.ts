import type { Control, Severity } from '#playbook/control';
import { command, type Declared, directory } from '#playbook/resources';

/** Files that only root needs to read, though their packages let everybody. */
const FILES = ['/etc/crontab', '/etc/ssh/sshd_config'];

const CRON = ['/etc/cron.d', '/etc/cron.daily', '/etc/cron.hourly', '/etc/cron.monthly', '/etc/cron.weekly'];

const FIND_OPEN = 'test -z "$(find "$@" -maxdepth 0 -perm /077 2> /dev/null)"';

/** What runs as root, and who may log in, is for root to read. */
export function permissions(): readonly Declared[] {
  return [
    ...CRON.map((path) => directory({ path, mode: '0700' })),
    command({
      name: 'files for root alone',
      why: `let only root read ${FILES.join(' and ')}`,
      check: ['sh', '-c', FIND_OPEN, 'open', ...FILES],
      command: ['chmod', '--quiet', '0600', ...FILES],
      undo: ['chmod', '--quiet', '0644', ...FILES],
    }),
  ];
}

interface Permission {
  readonly path: string;
  readonly values: readonly string[];
  readonly severity: Severity;
  readonly why: string;
}

const SCHEDULE = 'Who can write there runs programs as root; who can read there knows what runs when.';

const PERMISSIONS: readonly Permission[] = [
  ...CRON.map((path) => ({ path, values: ['0700 root root'], severity: 'low' as const, why: SCHEDULE })),
  { path: '/etc/crontab', values: ['0600 root root'], severity: 'low', why: SCHEDULE },
  {
    path: '/etc/ssh/sshd_config',
    values: ['0600 root root'],
    severity: 'low',
    why: 'It tells who may log in, and from where.',
  },
  {
    path: '/etc/shadow',
    values: ['0640 root shadow', '0600 root root', '0600 root shadow'],
    severity: 'critical',
    why: 'Hashed passwords that can be read can be guessed without being noticed.',
  },
  {
    path: '/etc/gshadow',
    values: ['0640 root shadow', '0600 root root', '0600 root shadow'],
    severity: 'high',
    why: 'Hashed passwords that can be read can be guessed without being noticed.',
  },
  {
    path: '/etc/passwd',
    values: ['0644 root root'],
    severity: 'critical',
    why: 'Who can write it makes an account that is root.',
  },
  {
    path: '/etc/group',
    values: ['0644 root root'],
    severity: 'critical',
    why: 'Who can write it makes a member of sudo.',
  },
  {
    path: '/etc/sudoers',
    values: ['0440 root root'],
    severity: 'critical',
    why: 'Who can write it is root.',
  },
  {
    path: '/etc/sudoers.d',
    values: ['0755 root root', '0750 root root'],
    severity: 'critical',
    why: 'Who can write there is root.',
  },
  {
    path: '/root',
    values: ['0700 root root'],
    severity: 'medium',
    why: "Keys and histories of the administrator's lie there.",
  },
  {
    path: '/etc/slipway',
    values: ['0700 root root'],
    severity: 'high',
    why: 'Certificates, keys and the secrets of apps lie there.',
  },
];

/** What of these `deploy up` sets itself; all else is its package's to set. */
const OWN = [...CRON, ...FILES, '/etc/slipway'];

function mend(path: string, value = ''): { readonly mend?: string } {
  const [mode, owner, group] = value.split(' ');
  return OWN.includes(path) ? {} : { mend: `\`chown ${owner}:${group} ${path}; chmod ${mode} ${path}\` on the host.` };
}

/** One control for each path that has to be kept to its owner. */
export const permissionControls: readonly Control[] = PERMISSIONS.map(({ path, values, severity, why }) => ({
  id: `permissions-${path.slice(1).replaceAll(/[/._]/g, '-')}`,
  title: `${path} is kept to whom it is for`,
  severity,
  why,
  relax: 'nothing; nobody but root needs more',
  ...mend(path, values[0]),
  probe: 'file',
  check: () => ({ key: path, expect: values.length === 1 ? { is: values[0] ?? '' } : { oneOf: values } }),
}));
