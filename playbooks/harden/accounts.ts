import type { Environment } from '#inventory/environment';
import type { Control } from '#playbook/control';
import { authorizedKeys, type Declared, sudoers, user } from '#playbook/resources';

/** Who logs in from now on, and may do everything. The guard proves it before anything is closed to others. */
export function people({ ssh }: Environment): readonly Declared[] {
  return [
    user({ name: ssh.user }),
    authorizedKeys({ user: ssh.user, keys: [...ssh.authorizedKeys] }),
    sudoers({ name: `slipway-${ssh.user}`, content: `${ssh.user} ALL=(ALL:ALL) NOPASSWD: ALL` }),
  ];
}

/** What `deploy audit` asks about accounts. */
export const accountControls: readonly Control[] = [
  {
    id: 'account-own',
    title: 'the user of the inventory logs in by key and may use sudo',
    severity: 'critical',
    why: 'It is the way in; without it nobody mends anything.',
    relax: '`ssh.user` names another',
    probe: 'account',
    check: ({ environment }) => ({
      key: `user:${environment.ssh.user}`,
      expect: { includes: ['key', 'sudo', 'shell'] },
    }),
  },
  {
    id: 'account-empty-passwords',
    title: 'no account is without a password',
    severity: 'critical',
    why: 'Anybody at the console, and every program on the host, could become that user.',
    relax: 'nothing; lock the account, or give it a password',
    probe: 'account',
    check: () => ({ key: 'empty-passwords', expect: { is: 'none' } }),
  },
  {
    id: 'account-uid-0',
    title: 'root is the only root',
    severity: 'critical',
    why: 'A second name for it is what somebody leaves behind to come back by.',
    relax: 'nothing; a user with sudo does as well',
    probe: 'account',
    check: () => ({ key: 'uid-0', expect: { is: 'root' } }),
  },
  {
    id: 'account-docker-group',
    title: 'nobody is in the group docker',
    severity: 'high',
    why: 'Who is in it is root without sudo, and without a trace.',
    relax: 'nothing in the inventory; Slipway adds nobody, `audit.accept` takes it as it is',
    probe: 'account',
    check: () => ({ key: 'docker-group', expect: { is: 'none' } }),
  },
];
