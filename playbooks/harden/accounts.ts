import type { Environment } from '#inventory/environment';
import type { Control } from '#playbook/control';
import { authorizedKeys, type Declared, sudoers, user } from '#playbook/resources';

/** Who logs in from now on, and may do everything. The guard proves it before anything is closed to others. */
export function people({ ssh }: Environment): readonly Declared[] {
  // Whatever rules of others come later, or ask for a terminal: nobody sits in front of it to type a password.
  const rights = `Defaults:${ssh.user} !requiretty, !authenticate\n${ssh.user} ALL=(ALL:ALL) NOPASSWD: ALL`;
  return [
    user({ name: ssh.user, login: true }),
    authorizedKeys({ user: ssh.user, keys: [...ssh.authorizedKeys] }),
    sudoers({ name: `slipway-${ssh.user}`, content: rights, passwordless: ssh.user }),
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
    id: 'account-password-login',
    title: 'sshd asks nobody for a password',
    severity: 'critical',
    why: 'What a client is offered is what counts, whatever the files say.',
    relax: '`ssh.options.PasswordAuthentication`',
    probe: 'login',
    check: ({ environment: { ssh } }) =>
      ssh.options['PasswordAuthentication'] === undefined && ssh.options['KbdInteractiveAuthentication'] === undefined
        ? { key: 'password', expect: { is: 'refused' } }
        : undefined,
  },
  {
    id: 'account-empty-passwords',
    title: 'no account is without a password',
    severity: 'critical',
    why: 'Anybody at the console, and every program on the host, could become that user.',
    relax: 'nothing; lock the account, or give it a password',
    mend: 'Lock each of them with `passwd --lock`.',
    probe: 'account',
    check: () => ({ key: 'empty-passwords', expect: { is: 'none' } }),
  },
  {
    id: 'account-uid-0',
    title: 'root is the only root',
    severity: 'critical',
    why: 'A second name for it is what somebody leaves behind to come back by.',
    relax: 'nothing; a user with sudo does as well',
    mend: 'Find out who made it, then remove it with `userdel`.',
    probe: 'account',
    check: () => ({ key: 'uid-0', expect: { is: 'root' } }),
  },
  {
    id: 'account-docker-group',
    title: 'nobody is in the group docker',
    severity: 'high',
    why: 'Who is in it is root without sudo, and without a trace.',
    relax: 'nothing in the inventory; Slipway adds nobody, `audit.accept` takes it as it is',
    mend: 'Take each of them out with `gpasswd --delete <user> docker`.',
    probe: 'account',
    check: () => ({ key: 'docker-group', expect: { is: 'none' } }),
  },
];
