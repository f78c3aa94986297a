import { definePlaybook } from '#playbook/playbook';
import { directory, firstBoot } from '#playbook/resources';
import { people } from './harden/accounts.ts';
import { bans, known } from './harden/bans.ts';
import { firewall, firewallWarnings } from './harden/firewall.ts';
import { kernel } from './harden/kernel.ts';
import { sshd } from './harden/ssh.ts';
import { system, systemWarnings } from './harden/system.ts';
import { updates } from './harden/updates.ts';
import { packages } from './packages.ts';
import { CONFIGURATION } from './places.ts';

const PACKAGES = [
  'ca-certificates',
  'cron',
  'fail2ban',
  'nftables',
  'openssh-server',
  'python3-systemd',
  'sudo',
  'ufw',
  'unattended-upgrades',
];

/** A bare host made safe: who may log in, what is open, who is banned, how it is kept up to date. */
export const harden = definePlaybook({
  name: 'harden',
  summary: 'A user with keys and sudo, sshd without passwords, a firewall, bans, security updates, a safer kernel.',
  resources(context) {
    const { environment } = context;
    return [
      firstBoot({ patience: environment.packages.wait }, { beforePackages: true }),
      ...known(context),
      ...packages(context, PACKAGES),
      directory({ path: CONFIGURATION, mode: '0700' }),
      ...people(environment),
      ...sshd(context),
      ...firewall(context),
      ...bans(context),
      ...updates(context),
      ...kernel(context),
      ...system(context),
    ];
  },
  warnings: (context) => [...firewallWarnings(context), ...systemWarnings(context)],
});
