import { requiredRsaSize } from '#core/rsa';
import type { Environment } from '#inventory/environment';
import type { Control, ControlContext, Severity } from '#playbook/control';
import type { PlaybookContext } from '#playbook/playbook';
import { type Declared, reload, restart, sshdConfig, sshSocket } from '#playbook/resources';

type Value = string | number | boolean | readonly string[];
type Plain = string | number | boolean | string[];

/** One setting of sshd: what it is set to, and what `deploy audit` says of it. */
interface Setting {
  /** As sshd_config(5) spells it. */
  readonly option: string;
  readonly value: Value | ((environment: Environment) => Value);
  readonly severity: Severity;
  readonly title: string;
  readonly why: string;
  /** Only newer servers know it, or Debian's. */
  readonly ifKnown?: true;
}

/**
 * What sshd is told. Algorithms are those that ssh-audit 3.3 finds nothing against; curve25519 stays beside the
 * post-quantum exchanges, since not every client, ours among them, speaks one of those. A list is cut to what the host
 * has.
 */
const SETTINGS: readonly Setting[] = [
  {
    option: 'PermitRootLogin',
    value: false,
    severity: 'critical',
    title: 'root does not log in',
    why: 'Every guesser knows the name; a user of its own with sudo leaves a trace of who did what.',
  },
  {
    option: 'PubkeyAuthentication',
    value: true,
    severity: 'critical',
    title: 'keys let in',
    why: 'They are the only way in that is left.',
  },
  {
    option: 'PasswordAuthentication',
    value: false,
    severity: 'critical',
    title: 'passwords do not let in',
    why: 'They are guessed around the clock, and drop-ins of images switch them on again.',
  },
  {
    option: 'KbdInteractiveAuthentication',
    value: false,
    severity: 'critical',
    title: 'passwords do not let in by another name',
    why: 'PAM asks for the same password through this door.',
  },
  {
    option: 'PermitEmptyPasswords',
    value: false,
    severity: 'critical',
    title: 'an empty password does not let in',
    why: 'An account made without a password would stand open.',
  },
  {
    option: 'HostbasedAuthentication',
    value: false,
    severity: 'high',
    title: 'no other host vouches for a user',
    why: 'Whoever takes that host has this one too.',
  },
  {
    option: 'IgnoreRhosts',
    value: true,
    severity: 'high',
    title: 'no .rhosts file lets in',
    why: 'A user could open the door for others with one file.',
  },
  {
    option: 'PermitUserEnvironment',
    value: false,
    severity: 'high',
    title: 'users set no environment at login',
    why: 'LD_PRELOAD in a file of the user gets around a forced command.',
  },
  {
    option: 'StrictModes',
    value: true,
    severity: 'high',
    title: 'keys that others could have written are refused',
    why: 'Who can write authorized_keys is who logs in.',
  },
  {
    option: 'MaxAuthTries',
    value: 3,
    severity: 'medium',
    title: 'three tries a connection',
    why: 'It slows guessing down and fills the log sooner.',
  },
  {
    option: 'MaxSessions',
    value: 10,
    severity: 'low',
    title: 'ten channels a connection',
    why: 'One connection carries many channels; without a limit it carries any number.',
  },
  {
    option: 'MaxStartups',
    value: '10:30:60',
    severity: 'medium',
    title: 'unauthenticated connections are limited',
    why: 'A flood of half-open logins would keep the owner out.',
  },
  {
    option: 'LoginGraceTime',
    value: 30,
    severity: 'medium',
    title: 'a login is given up after 30 s',
    why: 'Connections that never log in hold a place.',
  },
  {
    option: 'ClientAliveInterval',
    value: 300,
    severity: 'low',
    title: 'a client is asked every 5 minutes whether it lives',
    why: 'With the next one a dead client is noticed after ten minutes.',
  },
  {
    option: 'ClientAliveCountMax',
    value: 2,
    severity: 'low',
    title: 'a client that does not answer twice is gone',
    why: 'A session left behind on a lost laptop ends.',
  },
  {
    option: 'TCPKeepAlive',
    value: false,
    severity: 'low',
    title: 'liveness is asked inside the encryption only',
    why: 'TCP keep-alives can be forged.',
  },
  {
    option: 'X11Forwarding',
    value: false,
    severity: 'medium',
    title: 'no X11 forwarding',
    why: 'A server has no screen, and a display that is forwarded can be read.',
  },
  {
    option: 'AllowAgentForwarding',
    value: false,
    severity: 'medium',
    title: 'no agent forwarding',
    why: 'Whoever is root on the host could log in elsewhere with the keys of who is connected.',
  },
  {
    option: 'AllowTcpForwarding',
    value: false,
    severity: 'medium',
    title: 'no TCP forwarding',
    why: 'A stolen key would be a way into the private network behind the host.',
  },
  {
    option: 'PermitTunnel',
    value: false,
    severity: 'medium',
    title: 'no tunnel devices',
    why: 'They would join two networks past the firewall.',
  },
  {
    option: 'GatewayPorts',
    value: false,
    severity: 'medium',
    title: 'forwarded ports do not listen for others',
    why: 'A forwarded port would be open to the world.',
  },
  {
    option: 'UseDNS',
    value: false,
    severity: 'low',
    title: 'no reverse lookup at login',
    why: 'It makes logins wait for a DNS that may be down.',
  },
  {
    option: 'Compression',
    value: false,
    severity: 'low',
    title: 'no compression',
    why: 'Compression before encryption leaks lengths and has had holes of its own.',
  },
  {
    option: 'LogLevel',
    value: 'VERBOSE',
    severity: 'low',
    title: 'the log says which key logged in',
    why: 'Several people share the user; the fingerprint tells them apart.',
  },
  {
    option: 'HostKeyAlgorithms',
    value: ['ssh-ed25519', 'rsa-sha2-512', 'rsa-sha2-256'],
    severity: 'medium',
    title: 'host keys are Ed25519, or RSA with SHA-2',
    why: 'NIST curves fail with weak random numbers, and SHA-1 is broken.',
  },
  {
    option: 'KexAlgorithms',
    value: [
      'mlkem768x25519-sha256',
      'sntrup761x25519-sha512',
      'sntrup761x25519-sha512@openssh.com',
      'curve25519-sha256',
      'curve25519-sha256@libssh.org',
    ],
    severity: 'medium',
    title: 'keys are exchanged post-quantum where the client can, over curve25519 otherwise',
    why: 'What is recorded today may be read once large quantum computers exist.',
  },
  {
    option: 'Ciphers',
    value: [
      'chacha20-poly1305@openssh.com',
      'aes256-gcm@openssh.com',
      'aes128-gcm@openssh.com',
      'aes256-ctr',
      'aes192-ctr',
      'aes128-ctr',
    ],
    severity: 'medium',
    title: 'ciphers are authenticated, or counter mode',
    why: 'CBC leaks plaintext under SSH.',
  },
  {
    option: 'MACs',
    value: ['hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256-etm@openssh.com', 'umac-128-etm@openssh.com'],
    severity: 'medium',
    title: 'packets are encrypted, then authenticated',
    why: 'The other order lets an attacker ask the server questions about plaintext.',
  },
  {
    option: 'DebianBanner',
    value: false,
    severity: 'low',
    title: 'the greeting does not name the package',
    why: 'It tells a scanner which fixes are missing.',
    ifKnown: true,
  },
  {
    option: 'RequiredRSASize',
    value: ({ ssh }) => requiredRsaSize(ssh.authorizedKeys),
    severity: 'medium',
    title: 'RSA keys have 3072 bits or more',
    why: 'Shorter ones are within reach of who has much to spend.',
    ifKnown: true,
  },
];

/** What decides who gets in: no Match block of somebody else may loosen it. */
const ALWAYS = [
  'PermitRootLogin',
  'PubkeyAuthentication',
  'PasswordAuthentication',
  'KbdInteractiveAuthentication',
  'PermitEmptyPasswords',
  'HostbasedAuthentication',
];

const plain = (value: Value): Plain => (typeof value === 'object' ? [...value] : value);

// sshd does not care how an option is spelled, and takes the first of two.
const isSame = (one: string, other: string) => one.toLowerCase() === other.toLowerCase();

function wantedOf({ option, value }: Setting, environment: Environment): Value {
  const [, declared] = Object.entries(environment.ssh.options).find(([name]) => isSame(name, option)) ?? [];
  return declared ?? (typeof value === 'function' ? value(environment) : value);
}

function settings(environment: Environment, ifKnown: boolean): Record<string, Plain> {
  const own = SETTINGS.filter((setting) => (setting.ifKnown === true) === ifKnown);
  return Object.fromEntries(own.map((setting) => [setting.option, plain(wantedOf(setting, environment))]));
}

/** sshd by a drop-in that is read before those of images, since sshd takes the first value it reads. */
export function sshd({ environment, facts }: Pick<PlaybookContext, 'environment' | 'facts'>): readonly Declared[] {
  const { user, port, options } = environment.ssh;
  const others = Object.entries(options).filter(([option]) =>
    SETTINGS.every((setting) => !isSame(setting.option, option)),
  );
  const isSocketActivated = facts.sshSocket === true;
  const config = sshdConfig(
    {
      settings: {
        ...(port === undefined ? {} : { Port: port }),
        ...settings(environment, false),
        ...Object.fromEntries(others.map(([option, value]) => [option, plain(value)])),
      },
      ifKnown: settings(environment, true),
      always: ALWAYS,
      letsIn: user,
    },
    // Started by its socket, sshd does not survive a reload: it cannot bind the port that systemd holds. Its sessions
    // survive a restart, and new connections wait in the socket meanwhile.
    { triggers: [isSocketActivated ? restart('ssh.service') : reload('ssh.service')] },
  );
  return [config, ...(isSocketActivated && port !== undefined ? [sshSocket({ port })] : [])];
}

const dashed = (option: string) =>
  option.replaceAll(/(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})/g, '-').toLowerCase();

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** A value as `sshd -T` prints it, which has words and units of its own. */
function printed(value: Exclude<Value, readonly string[]>): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  const [, amount, unit = ''] = /^(\d+)([smhdw])$/i.exec(String(value)) ?? [];
  if (amount !== undefined) return String(Number(amount) * (SECONDS[unit.toLowerCase()] ?? 1));
  return value === 'prohibit-password' ? 'without-password' : String(value);
}

/** One control for each setting, read from `sshd -T`. */
export const sshControls: readonly Control[] = SETTINGS.map((setting) => ({
  id: `ssh-${dashed(setting.option)}`,
  title: setting.title,
  severity: setting.severity,
  why: setting.why,
  relax: `\`ssh.options.${setting.option}\``,
  probe: 'sshd',
  check({ environment }: ControlContext) {
    const value = wantedOf(setting, environment);
    const key = setting.option.toLowerCase();
    // A host may lack some of the algorithms; what it has besides is what counts.
    if (typeof value === 'object') return { key, expect: { within: value } };
    return { key, expect: { is: printed(value) } };
  },
}));
