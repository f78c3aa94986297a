import type { Control } from '#playbook/control';
import type { PlaybookContext } from '#playbook/playbook';
import { type Declared, fail2banJail, reload, systemdUnit } from '#playbook/resources';
import { template } from '#playbook/template';

const KNOWS_ADDRESS = '/usr/local/lib/slipway/knows-address';

/** Who is never banned, in place before fail2ban is: it starts as soon as it is installed. */
export function known(context: PlaybookContext): readonly Declared[] {
  return [
    template(
      context,
      { path: KNOWS_ADDRESS, from: 'fail2ban/knows-address.sh.hbs', mode: '0755' },
      { beforePackages: true },
    ),
    template(
      context,
      {
        path: '/etc/fail2ban/jail.d/00-slipway.local',
        from: 'fail2ban/known.local.hbs',
        data: { command: KNOWS_ADDRESS },
      },
      { triggers: [reload('fail2ban.service')], beforePackages: true },
    ),
  ];
}

/** Bans whoever guesses. */
export function bans(context: PlaybookContext, ports: readonly number[]): readonly Declared[] {
  const { maxRetry, findTime, banTime, ignore } = context.environment.harden.fail2ban;
  const triggers = [reload('fail2ban.service')];
  return [
    fail2banJail(
      {
        name: 'DEFAULT',
        options: {
          backend: 'systemd',
          banaction: 'nftables',
          banaction_allports: 'nftables[type=allports]',
          'bantime.increment': true,
          bantime: banTime,
          findtime: findTime,
          maxretry: maxRetry,
          ignoreip: ['127.0.0.1/8', '::1', ...ignore].join(' '),
        },
      },
      { triggers },
    ),
    fail2banJail(
      {
        name: 'sshd',
        options: {
          enabled: true,
          backend: 'systemd',
          port: ports.join(','),
        },
      },
      { triggers },
    ),
    systemdUnit({ name: 'fail2ban.service', enabled: true, active: 'started' }),
  ];
}

/** What `deploy audit` asks about bans. */
export const banControls: readonly Control[] = [];
