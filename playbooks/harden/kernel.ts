import type { Environment } from '#inventory/environment';
import type { Check, Control, ControlContext, Severity } from '#playbook/control';
import type { PlaybookContext } from '#playbook/playbook';
import { type Declared, sysctl } from '#playbook/resources';
import type { Facts } from '#protocol/facts';

/** One parameter: its value, and what is so with it. */
interface Parameter {
  readonly value: string | number | ((facts: Facts) => number);
  readonly title: string;
  /** The kernel takes a stricter value back at the next boot only, so it is as good as the wanted one until then. */
  readonly untilBoot?: string;
  /** The inventory key that takes it out, beside `harden.sysctl`. */
  readonly unless?: { readonly relax: string; applies(environment: Environment): boolean };
}

/** Parameters that protect from the same thing. */
interface Group {
  readonly why: string;
  readonly severity: Severity;
  readonly parameters: Readonly<Record<string, Parameter>>;
}

/** The same parameter in both families' places: `net.ipv4.conf.all.…` and `net.ipv4.conf.default.…`. */
function allAndDefault(
  prefix: string,
  parameters: Readonly<Record<string, Parameter>>,
): Readonly<Record<string, Parameter>> {
  return Object.fromEntries(
    Object.entries(parameters).flatMap(([name, parameter]) => [
      [`${prefix}.all.${name}`, parameter],
      [`${prefix}.default.${name}`, { ...parameter, title: `${parameter.title}, on new interfaces too` }],
    ]),
  );
}

/**
 * Kernel parameters that protect a host and break nothing on it: forwarding, router advertisements and user namespaces
 * are left alone, since Docker, SLAAC and sandboxes need them.
 */
const GROUPS: readonly Group[] = [
  {
    why: 'A link or a pipe put into a shared directory makes a program of root write where the attacker wants.',
    severity: 'medium',
    parameters: {
      'fs.protected_fifos': { value: 2, title: "a stranger's pipe in a shared directory is not written to" },
      'fs.protected_hardlinks': { value: 1, title: 'hard links are made to own files only' },
      'fs.protected_regular': { value: 2, title: "a stranger's file in a shared directory is not written to" },
      'fs.protected_symlinks': { value: 1, title: "a stranger's symbolic link in a shared directory is not followed" },
    },
  },
  {
    why: 'A memory image of a privileged program holds keys and passwords.',
    severity: 'medium',
    parameters: {
      'fs.suid_dumpable': { value: 0, title: 'privileged programs leave no memory image' },
      'kernel.core_pattern': {
        // Unlike limits it reaches containers too: the kernel hands the image to a program that does not read it.
        value: '|/bin/false',
        title: 'the kernel throws memory images away',
        unless: { relax: '`harden.coreDumps`', applies: ({ harden }) => harden.coreDumps },
      },
      'kernel.core_uses_pid': { value: 1, title: 'a memory image does not replace another' },
    },
  },
  {
    why: "Addresses and messages of the kernel are what an exploit needs to find its way in the kernel's memory.",
    severity: 'medium',
    parameters: {
      'kernel.dmesg_restrict': { value: 1, title: 'kernel messages are for root' },
      'kernel.kptr_restrict': { value: 2, title: 'kernel addresses are shown to nobody' },
      'kernel.perf_event_paranoid': { value: 3, title: 'performance counters are for root' },
      'kernel.randomize_va_space': { value: 2, title: 'memory is laid out at random' },
    },
  },
  {
    why: 'Parts of the kernel that users seldom need and exploits often use.',
    severity: 'medium',
    parameters: {
      'dev.tty.ldisc_autoload': { value: 0, title: 'users load no line disciplines' },
      'kernel.kexec_load_disabled': { value: 1, title: 'the running kernel is not replaced', untilBoot: '1' },
      'kernel.sysrq': { value: 0, title: 'the keyboard commands the kernel to nothing' },
      'kernel.unprivileged_bpf_disabled': { value: 1, title: 'BPF programs are for root', untilBoot: '1' },
      'kernel.yama.ptrace_scope': { value: 1, title: 'a process is traced by its parent only', untilBoot: '3' },
      'net.core.bpf_jit_harden': { value: 2, title: 'compiled BPF programs are hardened' },
    },
  },
  {
    why: 'A neighbour in the network could lead traffic over itself.',
    severity: 'medium',
    parameters: {
      ...allAndDefault('net.ipv4.conf', {
        accept_redirects: { value: 0, title: 'IPv4 redirects are not followed' },
        accept_source_route: { value: 0, title: 'IPv4 senders do not choose the way' },
        secure_redirects: { value: 0, title: 'IPv4 redirects of gateways are not followed either' },
        send_redirects: { value: 0, title: 'IPv4 redirects are not sent' },
      }),
      ...allAndDefault('net.ipv6.conf', {
        accept_redirects: { value: 0, title: 'IPv6 redirects are not followed' },
        accept_source_route: { value: 0, title: 'IPv6 senders do not choose the way' },
      }),
    },
  },
  {
    why: 'A forged sender gets past rules that go by addresses.',
    severity: 'medium',
    parameters: allAndDefault('net.ipv4.conf', {
      rp_filter: {
        // In a second network or a VPN an answer may leave by another way than the question came: loosely there.
        value: ({ networks }) => (networks.length > 1 ? 2 : 1),
        title: 'packets from addresses that do not lead back are dropped',
      },
    }),
  },
  {
    why: 'A forged sender that is logged can be looked into.',
    severity: 'low',
    parameters: allAndDefault('net.ipv4.conf', {
      log_martians: { value: 1, title: 'packets with impossible addresses are logged' },
    }),
  },
  {
    why: 'Floods and forged answers would keep others out.',
    severity: 'medium',
    parameters: {
      'net.ipv4.icmp_echo_ignore_broadcasts': { value: 1, title: 'pings to everybody are not answered' },
      'net.ipv4.icmp_ignore_bogus_error_responses': { value: 1, title: 'bogus error messages are not logged' },
      'net.ipv4.tcp_rfc1337': { value: 1, title: 'connections that are ending are not ended by others' },
      'net.ipv4.tcp_syncookies': { value: 1, title: 'a flood of half-open connections fills no table' },
    },
  },
];

/** A key with its separators as dots; one whose first separator is a slash has them the other way round (sysctl.d(5)). */
function dotted(key: string): string {
  return /^[^./]*\//.test(key) ? key.replaceAll(/[./]/g, (mark) => (mark === '/' ? '.' : '/')) : key;
}

function declaredValues({ harden }: Environment): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(harden.sysctl).map(([key, value]) => [dotted(key), value]));
}

type Told = Pick<PlaybookContext, 'environment' | 'facts'>;

function wantedValues({ environment, facts }: Told): Readonly<Record<string, string | number>> {
  const own = GROUPS.flatMap(({ parameters }) => Object.entries(parameters));
  const applying = own.filter(([, { unless }]) => unless?.applies(environment) !== true);
  const values = applying.map(([key, { value }]) => [key, typeof value === 'function' ? value(facts) : value]);
  return { ...Object.fromEntries(values), ...declaredValues(environment) };
}

/** The kernel's parameters; what the inventory says wins. */
export function kernel(told: Told): readonly Declared[] {
  return [sysctl({ values: wantedValues(told) })];
}

const toControl =
  ({ why, severity }: Group) =>
  ([key, { title, untilBoot, unless }]: [string, Parameter]): Control => ({
    id: key.replaceAll(/[._]/g, '-'),
    title,
    severity,
    why,
    relax: unless?.relax ?? `\`harden.sysctl\`: \`${key}\``,
    probe: 'sysctl',
    check(told: ControlContext): Check | undefined {
      const value = wantedValues(told)[key];
      if (value === undefined) return undefined;
      const wanted = String(value).trim().split(/\s+/).join(' ');
      const isStuck = untilBoot !== undefined && untilBoot !== wanted;
      return { key, expect: isStuck ? { oneOf: [wanted, untilBoot] } : { is: wanted } };
    },
  });

/** One control for each parameter, read from the kernel. */
export const kernelControls: readonly Control[] = GROUPS.flatMap((group) =>
  Object.entries(group.parameters).map(toControl(group)),
);
