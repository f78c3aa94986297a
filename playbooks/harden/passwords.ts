import type { Control } from '#playbook/control';
import type { PlaybookContext } from '#playbook/playbook';
import { command, type Declared, file } from '#playbook/resources';
import { packages } from '../packages.ts';

const LOGIN_DEFS = '/etc/login.defs';
const BANNERS = ['/etc/issue', '/etc/issue.net'];

// Debian's login.defs(5) as it comes, and what it should be. No maximum age: an account whose password has expired is
// refused by PAM even where it logs in by key.
const DEFAULTS = ['PASS_MIN_DAYS 0', 'SHA_CRYPT_MIN_ROUNDS 5000'];
const WANTED = ['PASS_MIN_DAYS 1', 'SHA_CRYPT_MIN_ROUNDS 65536'];
const CHECK = 'for line; do grep -qx "$line" /etc/login.defs || exit 1; done';
const SET = `for line; do
  sed -i -E "/^\${line%% *}[[:space:]]/d" ${LOGIN_DEFS}
  printf '%s\\n' "$line" >> ${LOGIN_DEFS}
done`;

/** Without the name and version of the system, which a console would tell everybody. */
const BANNER =
  'This system is private. Access is for authorized users only; what is done here is logged and monitored,\nand abuse is prosecuted.\n';

/** Passwords that are hard to guess, for whoever sets one: a console may ask for it where SSH does not. */
export function passwords(context: PlaybookContext): readonly Declared[] {
  // Ubuntu's changes with each point release, and a file that differs from its package holds the update back.
  const banners = context.facts.os.id === 'debian' ? BANNERS : [];
  return [
    ...packages(context, ['libpam-pwquality']),
    command({
      name: 'password rules',
      why: `have ${WANTED.join(' and ')} in ${LOGIN_DEFS}`,
      check: ['sh', '-c', CHECK, 'check', ...WANTED],
      command: ['sh', '-c', SET, 'set', ...WANTED],
      undo: ['sh', '-c', SET, 'set', ...DEFAULTS],
    }),
    ...banners.map((path) => file({ path, content: BANNER })),
  ];
}

/** What `deploy audit` asks about passwords. */
export const passwordControls: readonly Control[] = [
  {
    id: 'passwords-quality',
    title: 'a password that is easily guessed is refused',
    severity: 'low',
    why: 'The console of a provider takes passwords, whatever sshd does.',
    relax: 'nothing; root may set any, and `pwquality.conf` is yours',
    probe: 'file',
    check: () => ({ key: '/usr/share/pam-configs/pwquality', expect: { is: '0644 root root' } }),
  },
  {
    id: 'passwords-rules',
    title: 'the rules for passwords are for root to change',
    severity: 'low',
    why: 'They say how a password is hashed.',
    relax: 'nothing; nobody but root needs more',
    probe: 'file',
    check: () => ({ key: LOGIN_DEFS, expect: { is: '0644 root root' } }),
  },
  ...BANNERS.map(
    (path): Control => ({
      id: `banner-${path.slice(5).replace('.', '-')}`,
      title: `${path} says whose system it is, and not which`,
      severity: 'low',
      why: 'Nobody can say that they took it for an open one; a version tells which holes to try.',
      relax: 'nothing; no login shows it but the console',
      probe: 'file',
      check: ({ facts }) => (facts.os.id === 'debian' ? { key: path, expect: { is: '0644 root root' } } : undefined),
    }),
  ),
];
