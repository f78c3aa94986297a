import type { Environment } from '#inventory/environment';
import { definePlaybook, type PlaybookContext } from '#playbook/playbook';
import {
  authorizedKeys,
  type Declared,
  directory,
  fail2banJail,
  reload,
  restart,
  sshdConfig,
  sudoers,
  sysctl,
  systemdUnit,
  ufw,
  ufwRule,
  user,
} from '#playbook/resources';
import { template } from '#playbook/template';
import type { Facts } from '#protocol/facts';
import { dockerSource } from './docker-source.ts';
import { KERNEL } from './kernel.ts';
import { packages } from './packages.ts';
import { CONFIGURATION } from './places.ts';
import { sshdSettings, sshdSettingsIfKnown } from './sshd-settings.ts';
import { swap } from './swap.ts';

const PACKAGES = ['ca-certificates', 'cron', 'fail2ban', 'nftables', 'openssh-server', 'python3-systemd'];
const KNOWS_ADDRESS = '/usr/local/lib/slipway/knows-address';

/** Where SSH comes in: the port of this very connection, and the one it is to move to. */
function sshPorts({ ssh, hosts }: Environment, host: string, facts: Facts): readonly number[] {
  const inUse = facts.sshPort ?? hosts[host]?.port ?? 22;
  return [...new Set([inUse, ssh.port ?? inUse])];
}

/** Who logs in from now on, and may do everything. The guard proves it before anything is closed to others. */
function people({ ssh }: Environment): readonly Declared[] {
  return [
    user({ name: ssh.user }),
    authorizedKeys({ user: ssh.user, keys: [...ssh.authorizedKeys] }),
    sudoers({ name: `slipway-${ssh.user}`, content: `${ssh.user} ALL=(ALL:ALL) NOPASSWD: ALL` }),
  ];
}

/** The firewall's rules, SSH first, and only then the firewall. */
function firewall({ ssh, firewall: { allow } }: Environment, ports: readonly number[]): readonly Declared[] {
  const sources = (from: 'any' | readonly string[]) => (from === 'any' ? ['any'] : from);
  return [
    ...ports.flatMap((port) => sources(ssh.allowFrom).map((from) => ufwRule({ port, from, comment: 'ssh' }))),
    ufwRule({ port: 80, comment: 'http' }),
    ufwRule({ port: 443, comment: 'https' }),
    ...allow.flatMap(({ port, protocol, from, comment = '' }) =>
      sources(from).map((source) =>
        ufwRule({ port, protocol, from: source, comment: comment.replaceAll(/[^\w .:/@+-]/g, ' ') }),
      ),
    ),
    ufw({ sshPorts: [...ports] }),
  ];
}

/** Who is never banned, in place before fail2ban is: it starts as soon as it is installed. */
function known(context: PlaybookContext): readonly Declared[] {
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
function bans(context: PlaybookContext, ports: readonly number[]): readonly Declared[] {
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

/** Security updates every day; what carries connections is not restarted behind anyone's back. */
function updates(context: PlaybookContext): readonly Declared[] {
  const { unattendedUpgrades } = context.environment.harden;
  const dockerRepository = dockerSource(context.facts).repository !== undefined;
  return [
    template(context, {
      path: '/etc/apt/apt.conf.d/52slipway',
      from: 'apt/unattended-upgrades.hbs',
      data: { ...unattendedUpgrades, dockerRepository },
    }),
    template(context, { path: '/etc/needrestart/conf.d/50-slipway.conf', from: 'needrestart/slipway.conf.hbs' }),
  ];
}

/** A bare host made safe: who may log in, what is open, who is banned, how it is kept up to date. */
export const harden = definePlaybook({
  name: 'harden',
  summary: 'A user with keys and sudo, sshd without passwords, a firewall, bans, security updates, a safer kernel.',
  resources(context) {
    const { environment, host, facts } = context;
    const ports = sshPorts(environment, host, facts);
    return [
      ...known(context),
      ...packages(context, [...PACKAGES, 'sudo', 'ufw', 'unattended-upgrades']),
      directory({ path: CONFIGURATION, mode: '0700' }),
      ...people(environment),
      sshdConfig(
        { settings: sshdSettings(environment.ssh), ifKnown: sshdSettingsIfKnown(environment.ssh) },
        { triggers: [reload('ssh.service')] },
      ),
      ...firewall(environment, ports),
      ...bans(context, ports),
      ...updates(context),
      sysctl({ values: { ...KERNEL, ...environment.harden.sysctl } }),
      template(
        context,
        {
          path: '/etc/systemd/journald.conf.d/50-slipway.conf',
          from: 'journald/slipway.conf.hbs',
          data: { keep: environment.logs.keep },
        },
        { triggers: [restart('systemd-journald.service')] },
      ),
      ...swap(context),
    ];
  },
});
