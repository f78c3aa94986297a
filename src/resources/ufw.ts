import * as z from 'zod';
import { DeployError } from '#core/errors';
import { type Change, defineKind, type Host } from '#resources/resource';
import { readKernel, repairJumps, turnOnIpv6 } from '#resources/ufw-kernel';
import { letsIn, readUfw, type Ufw } from '#resources/ufw-rules';

const policy = z.enum(['allow', 'deny', 'reject']);

const LEVELS = ['off', 'low', 'medium', 'high', 'full'] as const;

const props = z.strictObject({
  incoming: policy.default('deny'),
  outgoing: policy.default('allow'),
  /** Packets that pass through the host. Docker lets in what it publishes before this is asked: see nft-table. */
  routed: policy.default('deny'),
  /** At least; `off` is exact. */
  logging: z.enum(LEVELS).default('low'),
  /** Ports sshd will listen on; where none is given, those it listens on now. */
  sshPorts: z.array(z.number().int()).default([]),
  /** Whether the address of this connection may be shut out. */
  shutsOut: z.boolean().default(false),
});
type Props = z.output<typeof props>;

interface State {
  readonly ufw: Ufw;
  /** Whether systemd starts it at boot. */
  readonly boot: boolean;
  /** What is not in force in the kernel although ufw is enabled: a few words each. */
  readonly missing: readonly string[];
}

const BEFORE = '/var/lib/slipway/ufw.json';
const BOOT = '/etc/systemd/system/multi-user.target.wants/ufw.service';
const POLICIES = { allow: 'ACCEPT', deny: 'DROP', reject: 'REJECT' } as const;
const KEYS = {
  incoming: 'DEFAULT_INPUT_POLICY',
  outgoing: 'DEFAULT_OUTPUT_POLICY',
  routed: 'DEFAULT_FORWARD_POLICY',
} as const;
const DIRECTIONS = ['incoming', 'outgoing', 'routed'] as const;

/** What somebody has set to log more stays so; `off` alone is taken at its word. */
function logsEnough(settings: Ufw['settings'], { logging }: Props): boolean {
  const there = (LEVELS as readonly string[]).indexOf(settings['LOGLEVEL'] ?? '');
  const wanted = LEVELS.indexOf(logging);
  return wanted === 0 ? there === 0 : there >= wanted;
}

function diff(state: State | undefined, wanted: Props): readonly Change[] {
  if (state === undefined) return [{ summary: 'enable' }];
  const { settings } = state.ufw;
  const changes: Change[] = [];
  for (const direction of DIRECTIONS) {
    const there = settings[KEYS[direction]];
    const policies = POLICIES[wanted[direction]];
    if (there !== policies) changes.push({ summary: `${direction} ${there ?? 'unset'} -> ${policies}` });
  }
  if (settings['IPV6'] !== 'yes') changes.push({ summary: `IPv6 ${settings['IPV6'] ?? 'unset'} -> yes` });
  if (!logsEnough(settings, wanted)) {
    changes.push({ summary: `logging ${settings['LOGLEVEL'] ?? 'unset'} -> ${wanted.logging}` });
  }
  if (settings['ENABLED'] !== 'yes') changes.push({ summary: 'enable' });
  else changes.push(...state.missing.map((what) => ({ summary: `reload: ${what}` })));
  if (!state.boot) changes.push({ summary: 'start at boot' });
  return changes;
}

/** The TCP ports through which SSH has to be reachable. The open connection goes on, whatever the port it came in by. */
function sshPorts(host: Host, wanted: Props): readonly number[] {
  if (wanted.sshPorts.length > 0) return wanted.sshPorts;
  const { sshPort, listening } = host.facts;
  return sshPort === undefined
    ? listening.filter(({ program }) => program === 'sshd').map(({ port }) => port)
    : [sshPort];
}

function refuseLockout(host: Host, ufw: Ufw, wanted: Props): void {
  const clientAddress = wanted.shutsOut ? undefined : host.facts.clientAddress;
  const ports = sshPorts(host, wanted);
  const v6 = clientAddress?.includes(':') === true && !clientAddress.startsWith('::ffff:');
  const rules = clientAddress === undefined ? ufw.rules : ufw.rules.filter((rule) => rule.v6 === v6);
  const closed = ports.filter((port) => !letsIn(rules, port, clientAddress));
  if (ports.length > 0 && closed.length === 0) return;
  const what =
    ports.length === 0
      ? 'it is not known which port sshd listens on'
      : `no rule lets SSH in on port ${closed.join(', ')}`;
  const from = clientAddress === undefined ? '' : ` from ${clientAddress}`;
  throw new DeployError('firewall-would-lock-out', `The firewall was not enabled: ${what}${from}.`, {
    hint: 'Declare a ufw rule that allows the SSH port from where you connect, before ufw itself.',
  });
}

interface Before {
  readonly enabled: boolean;
  readonly settings: Readonly<Record<string, string>>;
}

async function remember(host: Host, { settings }: Ufw): Promise<void> {
  if ((await host.stat(BEFORE)) !== undefined) return;
  const before: Before = { enabled: settings['ENABLED'] === 'yes', settings };
  await host.writeFile(BEFORE, `${JSON.stringify(before)}\n`, { mode: '0600', owner: 'root', group: 'root' });
}

async function readFresh(host: Host): Promise<Ufw | undefined> {
  return readUfw({ ...host, once: (_, ask) => ask() });
}

const word = (target: string | undefined): string | undefined =>
  Object.entries(POLICIES).find(([, value]) => value === target)?.[0];

/** The firewall itself: its defaults, and that it is enabled and in force. */
export const ufwKind = defineKind({
  kind: 'ufw',
  summary: 'The firewall enabled with its defaults, and in force in the kernel; refused where SSH would be locked out.',
  props,
  id: () => 'firewall',
  async read(host): Promise<State | undefined> {
    const ufw = await readUfw(host);
    if (ufw === undefined) return undefined;
    const [boot, missing] = await Promise.all([host.stat(BOOT), readKernel(host, ufw)]);
    return { ufw, boot: boot !== undefined, missing };
  },
  diff,
  async apply(host, wanted) {
    const ufw = await readFresh(host);
    if (ufw === undefined) {
      throw new DeployError('firewall-failed', 'ufw is not installed, so it cannot be enabled.', {
        hint: 'Declare the package ufw before the firewall.',
      });
    }
    refuseLockout(host, ufw, wanted);
    await remember(host, ufw);
    const { settings } = ufw;
    await repairJumps(host, ufw);
    await turnOnIpv6(host, ufw);
    for (const direction of DIRECTIONS) {
      if (settings[KEYS[direction]] === POLICIES[wanted[direction]]) continue;
      await host.must(['ufw', 'default', wanted[direction], direction]);
    }
    if (!logsEnough(settings, wanted)) await host.must(['ufw', 'logging', wanted.logging]);
    if ((await host.stat(BOOT)) === undefined) await host.must(['systemctl', 'enable', 'ufw.service']);
    if (settings['ENABLED'] !== 'yes') {
      await host.must(['ufw', '--force', 'enable'], { hint: 'Look at `ufw status verbose` on the host.' });
      return;
    }
    // Also brings back chains that somebody flushed.
    await host.must(['ufw', 'reload'], { hint: 'Look at `ufw status verbose` on the host.' });
  },
  footprint: () => ({}),
  async remove(host) {
    const text = await host.readFile(BEFORE);
    const ufw = await readFresh(host);
    if (text !== undefined && ufw !== undefined) {
      const before = JSON.parse(text) as Before;
      if (!before.enabled) await host.must(['ufw', 'disable']);
      for (const direction of DIRECTIONS) {
        const old = word(before.settings[KEYS[direction]]);
        if (old !== undefined && ufw.settings[KEYS[direction]] !== before.settings[KEYS[direction]]) {
          await host.must(['ufw', 'default', old, direction]);
        }
      }
      const level = before.settings['LOGLEVEL'];
      if (level !== undefined && level !== ufw.settings['LOGLEVEL']) await host.must(['ufw', 'logging', level]);
    }
    await host.removeFile(BEFORE);
  },
  preexisting: 'remove',
  guarded: true,
});
