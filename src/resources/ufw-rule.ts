import * as z from 'zod';
import { DeployError } from '#core/errors';
import { parseRange } from '#core/ranges';
import { type Change, defineKind, type Host } from '#resources/resource';
import { turnOnIpv6 } from '#resources/ufw-kernel';
import { type Rule, readUfw, sameSource, TAG, type Ufw } from '#resources/ufw-rules';

const props = z.strictObject({
  action: z.enum(['allow', 'limit', 'deny']).default('allow'),
  port: z.number().int().min(1).max(65_535),
  protocol: z.enum(['tcp', 'udp']).default('tcp'),
  /** `any`, an address or a network. */
  from: z
    .string()
    .default('any')
    .refine(
      (text) => text === 'any' || parseRange(text) !== undefined,
      'is neither "any" nor an address nor a network',
    ),
  /** What it is for; shown by `ufw status` behind our tag. */
  comment: z
    .string()
    .regex(/^[\w .:/@+-]*$/)
    .default(''),
});
type Props = z.output<typeof props>;

interface State {
  readonly ufw: Ufw;
  /** Rules about the very same packets, ours and others'; at least one. */
  readonly same: readonly Rule[];
  /** Families that a rule is needed for. */
  readonly families: readonly boolean[];
}

const source = (from: string): string => (from === 'any' ? '0.0.0.0/0' : from);
const tag = ({ comment, port, protocol }: Props): string => `${TAG}${comment === '' ? `${port}/${protocol}` : comment}`;

function samePackets(rule: Rule, { port, protocol, from }: Pick<Props, 'port' | 'protocol' | 'from'>): boolean {
  return (
    !rule.route &&
    !rule.application &&
    rule.direction === 'in' &&
    rule.protocol === protocol &&
    rule.port === String(port) &&
    rule.fromPort === 'any' &&
    sameSource(rule.to, '0.0.0.0/0') &&
    sameSource(rule.from, source(from))
  );
}

const ours = (rule: Rule): boolean => rule.comment.startsWith(TAG);

/** Whether a rule that is not ours already does what is wanted; `limit` lets in what `allow` would. */
const serves = (rule: Rule, { action }: Props): boolean =>
  rule.action === action || (action === 'allow' && rule.action === 'limit');

async function look(host: Host, wanted: Props): Promise<State | undefined> {
  const ufw = await readUfw(host);
  if (ufw === undefined) return undefined;
  const v6 = wanted.from === 'any' ? undefined : (parseRange(wanted.from)?.v6 ?? false);
  return {
    ufw,
    same: ufw.rules.filter((rule) => samePackets(rule, wanted)),
    families: v6 === undefined ? (ufw.ipv6 ? [false, true] : [false]) : [v6],
  };
}

const matches = (rule: Rule, wanted: Props): boolean =>
  ours(rule) ? rule.action === wanted.action && rule.comment === tag(wanted) : serves(rule, wanted);

function diff(state: State | undefined, wanted: Props): readonly Change[] {
  const { action, port, protocol, from } = wanted;
  const families = state?.families ?? [];
  const missing = families.filter((v6) => !state?.same.some((rule) => rule.v6 === v6 && matches(rule, wanted)));
  if (state !== undefined && missing.length === 0) return [];
  const rule = `${action} ${port}/${protocol} from ${from}`;
  const old = state?.same.find((there) => ours(there) && !matches(there, wanted));
  if (old !== undefined && old.action !== action) return [{ summary: `${old.action} -> ${rule}` }];
  if (old !== undefined) return [{ summary: `comment ${old.comment} -> ${tag(wanted)}` }];
  return [{ summary: missing.length < families.length ? `${rule} (${missing[0] === true ? 'IPv6' : 'IPv4'})` : rule }];
}

// Families apart, since one of them may have a foreign rule that must stay as it is.
const everywhere = (v6: boolean | undefined): string => (v6 === undefined ? 'any' : v6 ? '::/0' : '0.0.0.0/0');

function ufwArguments(
  { action, port, protocol, from }: Omit<Props, 'comment'>,
  v6: boolean | undefined,
): readonly string[] {
  const origin = from === 'any' ? everywhere(v6) : from;
  return [action, 'proto', protocol, 'from', origin, 'to', everywhere(v6), 'port', String(port)];
}

/** One rule of the firewall for incoming packets, over IPv4 and IPv6. */
export const ufwRuleKind = defineKind({
  kind: 'ufw-rule',
  summary: 'One ufw rule for incoming packets over IPv4 and IPv6, tagged as ours; rules of others are never touched.',
  props,
  id: ({ action, port, protocol, from }) => `${action} ${port}/${protocol} from ${from}`,
  async read(host, wanted) {
    const state = await look(host, wanted);
    return state === undefined || state.same.length === 0 ? undefined : state;
  },
  diff,
  async apply(host, wanted) {
    const state = await look(host, wanted);
    if (state === undefined) {
      throw new DeployError('firewall-failed', 'ufw is not installed, so no firewall rule can be added.', {
        hint: 'Declare the package ufw before its rules.',
      });
    }
    if (state.families.includes(true)) await turnOnIpv6(host, state.ufw);
    if (wanted.from === 'any' && state.same.length === 0 && state.families.length === 2) {
      await host.must(['ufw', ...ufwArguments(wanted, undefined), 'comment', tag(wanted)]);
      return;
    }
    for (const v6 of state.families) {
      const there = state.same.find((rule) => rule.v6 === v6);
      if (there !== undefined && matches(there, wanted)) continue;
      if (there !== undefined && !ours(there)) {
        const { port, protocol, from, action } = wanted;
        throw new DeployError(
          'firewall-conflict',
          `Declared is ${action} ${port}/${protocol} from ${from}, but a rule that is not ours says ${there.action}.`,
          {
            hint: `Run \`ufw delete ${there.action} ${port}/${protocol}\` on the host, or take it out of the inventory.`,
          },
        );
      }
      await host.must(['ufw', ...ufwArguments(wanted, v6), 'comment', tag(wanted)]);
    }
  },
  footprint: ({ action, port, protocol, from }) => ({ action, port, protocol, from }),
  async remove(host, footprint) {
    const rule = footprint as Omit<Props, 'comment'>;
    const ufw = await readUfw({ ...host, once: (_, ask) => ask() });
    for (const there of ufw?.rules ?? []) {
      if (!ours(there) || there.action !== rule.action || !samePackets(there, rule)) continue;
      await host.must(['ufw', '--force', 'delete', ...ufwArguments(rule, there.v6)]);
    }
  },
  preexisting: 'remove',
  guarded: true,
});
