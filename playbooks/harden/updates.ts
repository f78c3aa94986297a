import type { Check, Control, ControlContext, Expectation, Severity } from '#playbook/control';
import type { PlaybookContext } from '#playbook/playbook';
import { type Declared, systemdUnit } from '#playbook/resources';
import { template } from '#playbook/template';
import type { Facts } from '#protocol/facts';
import { dockerSource } from '../docker-source.ts';
import { packages } from '../packages.ts';

const TIMERS = ['apt-daily.timer', 'apt-daily-upgrade.timer'];
const NEEDRESTART = '/etc/needrestart/conf.d/50-slipway.conf';

const flag = (value: boolean) => String(value);
const digit = (value: boolean) => (value ? '1' : '0');

/** One setting of apt: what it is set to, and what `deploy audit` says of it. */
interface Setting {
  readonly key: string;
  readonly value: string | ((context: ControlContext) => string);
  readonly severity: Severity;
  readonly title: string;
  readonly why: string;
  readonly relax: string;
}

const NOTHING_RELAXES = 'nothing; the setting only matters while updates are on';
const SWITCH = '`harden.unattendedUpgrades.enabled`';

const SETTINGS: readonly Setting[] = [
  {
    key: 'APT::Periodic::Update-Package-Lists',
    value: ({ environment }) => digit(environment.harden.unattendedUpgrades.enabled),
    severity: 'high',
    title: 'the host looks for updates every day',
    why: 'What it does not know of it does not install.',
    relax: SWITCH,
  },
  {
    key: 'APT::Periodic::Unattended-Upgrade',
    value: ({ environment }) => digit(environment.harden.unattendedUpgrades.enabled),
    severity: 'high',
    title: 'security updates are installed every day',
    why: 'Most hosts are broken into through holes that were mended long before.',
    relax: SWITCH,
  },
  {
    key: 'APT::Periodic::AutocleanInterval',
    value: '7',
    severity: 'low',
    title: 'downloaded packages are thrown away every week',
    why: 'A full disk stops the updates too.',
    relax: NOTHING_RELAXES,
  },
  {
    key: 'Unattended-Upgrade::MinimalSteps',
    value: 'false',
    severity: 'low',
    title: 'all updates are one step',
    why: 'In small steps, needrestart restarts a service after each of them until systemd gives it up.',
    relax: NOTHING_RELAXES,
  },
  {
    key: 'Unattended-Upgrade::Remove-Unused-Kernel-Packages',
    value: 'true',
    severity: 'low',
    title: 'kernels of long ago are removed',
    why: 'They fill /boot, and then no new one can be installed.',
    relax: NOTHING_RELAXES,
  },
  {
    key: 'Unattended-Upgrade::Remove-New-Unused-Dependencies',
    value: 'true',
    severity: 'low',
    title: 'what an update makes superfluous is removed',
    why: 'Nobody looks after it; what was superfluous before stays.',
    relax: NOTHING_RELAXES,
  },
  {
    key: 'Unattended-Upgrade::Automatic-Reboot',
    value: ({ environment }) => flag(environment.harden.unattendedUpgrades.reboot),
    severity: 'low',
    title: 'the host reboots when, and only when, it was agreed on',
    why: 'A new kernel protects after a reboot only; a reboot that nobody expects is an outage.',
    relax: '`harden.unattendedUpgrades.reboot`',
  },
  {
    key: 'Unattended-Upgrade::Automatic-Reboot-WithUsers',
    value: 'true',
    severity: 'low',
    title: 'a forgotten session does not hold a reboot up',
    why: 'It would be put off for ever. Without `reboot` it means nothing.',
    relax: '`harden.unattendedUpgrades.reboot`',
  },
  {
    key: 'Unattended-Upgrade::Automatic-Reboot-Time',
    value: ({ environment }) => environment.harden.unattendedUpgrades.rebootTime,
    severity: 'low',
    title: 'a reboot has its time of day',
    why: 'An outage of half a minute belongs into the night.',
    relax: '`harden.unattendedUpgrades.rebootTime`',
  },
  {
    key: 'Unattended-Upgrade::SyslogEnable',
    value: 'true',
    severity: 'low',
    title: 'updates are logged',
    why: 'What changed last night is the first thing to ask on a bad morning.',
    relax: NOTHING_RELAXES,
  },
];

/**
 * The list that unattended-upgrades takes from, and what has to be in it: security updates by the distribution's own
 * name, and Docker's where it comes from its own repository. Lists of all files add up, so a distribution's list that
 * was cut short by somebody is made whole again.
 */
function origins({ os, ...rest }: Facts): { readonly list: string; readonly origins: readonly string[] } {
  // Containers run on while the engine is replaced (live-restore), so its updates are taken too.
  const docker = dockerSource({ os, ...rest }).repository === undefined ? [] : ['origin=Docker'];
  const security =
    os.id === 'ubuntu'
      ? 'origin=Ubuntu,archive=${distro_codename}-security'
      : 'origin=Debian,codename=${distro_codename}-security,label=Debian-Security';
  return { list: 'Unattended-Upgrade::Origins-Pattern', origins: [security, ...docker] };
}

/** Security updates every day, in effect at once; what carries connections is not restarted behind anyone's back. */
export function updates(context: PlaybookContext): readonly Declared[] {
  const values = SETTINGS.map(({ key, value }) => ({
    key,
    value: typeof value === 'function' ? value(context) : value,
  }));
  const timers = context.environment.harden.unattendedUpgrades.enabled ? TIMERS : [];
  return [
    ...packages(context, ['needrestart']),
    template(context, {
      path: '/etc/apt/apt.conf.d/52slipway',
      from: 'apt/unattended-upgrades.hbs',
      data: { values, ...origins(context.facts) },
    }),
    template(
      context,
      { path: NEEDRESTART, from: 'needrestart/slipway.conf.hbs' },
      // It is asked as soon as it is there: at the end of the very installation that brings it.
      { beforePackages: true },
    ),
    ...timers.map((name) => systemdUnit({ name, enabled: true, active: 'started' })),
  ];
}

const dashed = (key: string) =>
  key
    .replace(/^(?:APT::Periodic|Unattended-Upgrade)::/, '')
    .replaceAll(/(?<=[a-z])(?=[A-Z])/g, '-')
    .toLowerCase();

function ofUpdates(check: (context: ControlContext) => Check | undefined): Control['check'] {
  return (context) => (context.environment.harden.unattendedUpgrades.enabled ? check(context) : undefined);
}

const settingControls = SETTINGS.map(
  ({ key, value, severity, title, why, relax }): Control => ({
    id: `updates-${dashed(key)}`,
    ...{ title, severity, why, relax },
    probe: 'apt',
    check: ofUpdates((context) => {
      const expect: Expectation = { is: typeof value === 'function' ? value(context) : value };
      return { key, expect };
    }),
  }),
);

/** What `deploy audit` asks about updates. */
export const updateControls: readonly Control[] = [
  ...settingControls,
  {
    id: 'updates-origins',
    title: 'security updates are among what is installed',
    severity: 'high',
    why: 'A list that lacks them, for want of one semicolon, installs nothing and says nothing.',
    relax: SWITCH,
    probe: 'apt',
    check: ofUpdates(({ facts }) => {
      const { list, origins: wanted } = origins(facts);
      return { key: list, expect: { includes: wanted.flatMap((origin) => origin.split(',')) } };
    }),
  },
  ...TIMERS.map(
    (timer): Control => ({
      id: `updates-${timer.replace('.timer', '-timer')}`,
      title: timer === 'apt-daily.timer' ? 'the search for updates runs' : 'the installation of updates runs',
      severity: 'high',
      why: 'Settings alone install nothing: a timer has to come round.',
      relax: SWITCH,
      probe: 'service',
      check: ofUpdates(() => ({ key: timer, expect: { includes: ['active', 'enabled'] } })),
    }),
  ),
  {
    id: 'updates-needrestart',
    title: 'services take up the libraries that were mended',
    severity: 'medium',
    why: 'A service goes on with the hole in memory. ssh, Docker and containerd are left to the next reboot.',
    relax: 'nothing; write a file of your own beside it',
    probe: 'file',
    check: () => ({ key: NEEDRESTART, expect: { is: '0644 root root' } }),
  },
];
