import type { Check, Control, ControlContext } from '#playbook/control';
import type { PlaybookContext } from '#playbook/playbook';
import { type Declared, fail2banJail, reload, systemdUnit } from '#playbook/resources';
import { template } from '#playbook/template';
import { accessLog } from '../places.ts';
import { sshPort } from './firewall.ts';

const KNOWS_ADDRESS = '/usr/local/lib/slipway/knows-address';
const ERROR_LOG = '/var/log/nginx/error.log';
/** Seconds of the longest ban: whoever comes back stays out for longer each time. */
const LONGEST_BAN = 7 * 24 * 3600;

// What is left of a guess at a user that exists where passwords are not taken; the filter's own mode for it would also
// count everybody who only looks whether the port answers.
const GAVE_UP =
  '^Connection (?:closed|reset) by authenticating user <F-USER>\\S+</F-USER> <ADDR> port \\d+ \\[preauth\\]$';

const RELOAD = { triggers: [reload('fail2ban.service')] };

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
      { ...RELOAD, beforePackages: true },
    ),
  ];
}

/** Bans whoever guesses. */
export function bans(context: PlaybookContext): readonly Declared[] {
  const { maxRetry, findTime, banTime, ignore } = context.environment.harden.fail2ban;
  const longest = Math.max(banTime, LONGEST_BAN);
  return [
    template(context, { path: '/etc/fail2ban/action.d/slipway.conf', from: 'fail2ban/action.conf.hbs' }, RELOAD),
    template(
      context,
      {
        path: '/etc/fail2ban/fail2ban.d/slipway.local',
        from: 'fail2ban/memory.local.hbs',
        data: { seconds: longest + findTime },
      },
      RELOAD,
    ),
    fail2banJail(
      {
        name: 'DEFAULT',
        options: {
          backend: 'systemd',
          banaction: 'slipway',
          banaction_allports: 'slipway',
          'bantime.increment': true,
          'bantime.maxtime': longest,
          bantime: banTime,
          findtime: findTime,
          maxretry: maxRetry,
          ignoreip: ['127.0.0.1/8', '::1', ...ignore].join(' '),
        },
      },
      RELOAD,
    ),
    fail2banJail(
      {
        name: 'sshd',
        options: {
          enabled: true,
          backend: 'systemd',
          mode: 'extra',
          failregex: ['%(known/failregex)s', GAVE_UP],
          port: String(sshPort(context)),
        },
      },
      RELOAD,
    ),
    systemdUnit({ name: 'fail2ban.service', enabled: true, active: 'started' }),
  ];
}

/** The jails that read what nginx writes, for the playbook that brings nginx and its logs. */
export function webBans(context: PlaybookContext): readonly Declared[] {
  const { app, routes, proxy } = context.environment;
  const jail = (name: string, options: Record<string, string>) =>
    fail2banJail({ name, options: { enabled: true, backend: 'auto', port: 'http,https', ...options } }, RELOAD);
  return [
    jail('nginx-http-auth', { logpath: ERROR_LOG }),
    ...(proxy.rateLimit === undefined ? [] : [jail('nginx-limit-req', { logpath: ERROR_LOG })]),
    ...(routes.length === 0
      ? []
      : [
          template(
            context,
            { path: '/etc/fail2ban/filter.d/slipway-bots.conf', from: 'fail2ban/bots.conf.hbs' },
            RELOAD,
          ),
          jail(`bots-${app}`, { filter: 'slipway-bots', logpath: accessLog(app) }),
        ]),
  ];
}

/** Every jail that a host has, by what it protects from. */
function jails({ environment: { app, routes, proxy } }: ControlContext): readonly string[] {
  return [
    'sshd',
    'nginx-http-auth',
    ...(proxy.rateLimit === undefined ? [] : ['nginx-limit-req']),
    ...(routes.length === 0 ? [] : [`bots-${app}`]),
  ];
}

/** That a jail runs, on a host that has it. */
const running = (context: ControlContext, name: string): Check | undefined =>
  jails(context).includes(name) ? { key: `jail:${name}`, expect: { is: 'running' } } : undefined;

const FIXED = 'Nothing: a jail that nobody falls into costs nothing.';

/** What `deploy audit` asks about bans. */
export const banControls: readonly Control[] = [
  {
    id: 'bans-service',
    title: 'fail2ban runs, and after a reboot too',
    severity: 'medium',
    why: 'Whoever guesses would go on for ever.',
    relax: FIXED,
    probe: 'service',
    check: () => ({ key: 'fail2ban.service', expect: { is: 'active,enabled' } }),
  },
  {
    id: 'bans-operator',
    title: 'whoever has logged in is never banned',
    severity: 'high',
    why: 'The operator who mistypes must not be shut out.',
    relax: 'Nothing: it is what keeps the owner in. `harden.fail2ban.ignore` adds addresses.',
    probe: 'fail2ban',
    check: () => ({ key: 'ignores-operator', expect: { is: 'yes' } }),
  },
  ...(
    [
      ['sshd', 'who guesses at SSH is banned', FIXED],
      ['nginx-http-auth', 'who guesses at a password of the web server is banned', FIXED],
      ['nginx-limit-req', 'who keeps asking too often is banned', '`proxy.rateLimit` left out.'],
    ] as const
  ).map(
    ([name, title, relax]): Control => ({
      id: `bans-${name}`,
      title,
      severity: 'medium',
      why: 'What costs an attacker nothing is tried millions of times.',
      relax,
      probe: 'fail2ban',
      check: (context) => running(context, name),
    }),
  ),
  {
    id: 'bans-bots',
    title: 'who looks for what no app has is banned',
    severity: 'low',
    why: 'After ten paths that lead nowhere a scanner tries ten that may.',
    relax: FIXED,
    probe: 'fail2ban',
    check: (context) => running(context, `bots-${context.environment.app}`),
  },
  {
    id: 'bans-max-retry',
    title: 'a few failures are enough',
    severity: 'low',
    why: 'Guesses have to be few to be hopeless.',
    relax: '`harden.fail2ban.maxRetry`',
    probe: 'fail2ban',
    check: ({ environment: { harden } }) => ({
      key: 'sshd.maxretry',
      expect: { atMost: harden.fail2ban.maxRetry },
    }),
  },
  {
    id: 'bans-find-time',
    title: 'slow guessing counts too',
    severity: 'low',
    why: 'A guesser waits for as long as it takes to be forgotten.',
    relax: '`harden.fail2ban.findTime`',
    probe: 'fail2ban',
    check: ({ environment: { harden } }) => ({
      key: 'sshd.findtime',
      expect: { atLeast: harden.fail2ban.findTime },
    }),
  },
  {
    id: 'bans-ban-time',
    title: 'a ban lasts',
    severity: 'low',
    why: 'A short ban only slows a guesser down.',
    relax: '`harden.fail2ban.banTime`',
    probe: 'fail2ban',
    check: ({ environment: { harden } }) => ({
      key: 'sshd.bantime',
      expect: { atLeast: harden.fail2ban.banTime },
    }),
  },
];
