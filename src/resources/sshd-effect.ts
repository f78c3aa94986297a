import type { Output } from '#core/run';
import { readGroups, readUsers } from '#resources/accounts';
import type { Host } from '#resources/resource';
import { type Obstacle, obstacle, type Visitor } from '#resources/sshd-access';
import {
  type ConfigPart,
  DIRECTORY,
  firstToMatch,
  firstToSet,
  hasMatch,
  inOrder,
  type Place,
} from '#resources/sshd-files';
import type { Wanted } from '#resources/sshd-memory';
import { parseEffective } from '#resources/sshd-options';

/** Asks sshd, which prints what is in effect. */
export type Ask = (argv: readonly string[]) => Promise<Output>;

/** A setting that is otherwise in effect than declared. */
export interface Difference {
  readonly option: string;
  readonly effective: string;
  readonly wanted: string;
  /** The line that sets it, where it is not ours. */
  readonly from: Place | undefined;
}

/** What keeps somebody out who has to be let in, and the line that says so. */
export type PlacedObstacle = Obstacle & { readonly place: Place | undefined };

interface Declared {
  readonly name: string;
  readonly always: readonly string[];
  readonly letsIn?: string | undefined;
}

/** Of these all lines count, not only the first (sshd_config(5)). */
const CUMULATIVE: ReadonlySet<string> = new Set(['port', 'listenaddress', 'hostkey', 'acceptenv']);

function differing(wanted: Wanted, said: string, options: Iterable<string>): readonly [string, string, string][] {
  const effective = parseEffective(said);
  return [...options].flatMap((option) => {
    const should = wanted.effective.get(option);
    // Debian 12's sshd knows DebianBanner and does not print it: what it keeps to itself is '' on both sides.
    const is = effective.get(option) ?? '';
    return should === undefined || is === should ? [] : [[option, is, should] as [string, string, string]];
  });
}

function connection(user: string, address = '203.0.113.1'): string {
  return `user=${user},host=${address},addr=${address}`;
}

/** What differs from what is wanted: for everybody, and then for those whom a Match block may fit. */
export async function differences(
  host: Host,
  { name, always, letsIn }: Declared,
  wanted: Wanted,
  ask: Ask,
): Promise<readonly Difference[]> {
  const own = `${DIRECTORY}/${name}.conf`;
  const parts = await inOrder(host, own, wanted.content);
  const foreign = parts.filter(({ path }) => path !== own);
  const place = (find: typeof firstToSet, option: string) => {
    const found = find(option, CUMULATIVE.has(option) ? foreign : parts);
    return found?.path === own ? undefined : found;
  };
  const plain = differing(wanted, (await ask(['-T'])).stdout, wanted.effective.keys()).map(([option, is, should]) => {
    return { option, effective: is || 'unset', wanted: should, from: place(firstToSet, option) };
  });
  if (!hasMatch(foreign)) return plain;
  const options = always.map((option) => option.toLowerCase());
  // A user whom no block names stands for all others.
  const visitors = [...new Set([letsIn ?? 'root', 'root', 'slipway-nobody'])];
  const matched = await Promise.all(
    visitors.map(async (who) => {
      const { stdout } = await ask(['-T', '-C', connection(who, host.facts.clientAddress)]);
      return differing(wanted, stdout, options).map(([option, is, should]) => {
        return { option, effective: is || 'unset', wanted: should, from: place(firstToMatch, option) };
      });
    }),
  );
  // One line each, the one that names who does it.
  const all = [...plain, ...matched.flat()];
  const named = [...all.filter(({ from }) => from !== undefined), ...all];
  return named.filter((one, at) => named.findIndex(({ option }) => option === one.option) === at);
}

/** A user of the host as sshd looks at them. */
export async function visitorOf(host: Host, user: string): Promise<Visitor> {
  const [users, groups] = await Promise.all([readUsers(host), readGroups(host)]);
  const gid = users.get(user)?.gid;
  const own = [...groups.values()].filter((group) => group.gid === gid || group.members.includes(user));
  return {
    user,
    // Before the user is made, the group of its own name is all it will have.
    groups: gid === undefined ? [user] : own.map((group) => group.name),
    address: host.facts.clientAddress,
  };
}

/** What in the configuration would refuse a user who comes with a key; undefined where nothing does. */
export async function obstacleFor(
  host: Host,
  user: string | undefined,
  parts: readonly ConfigPart[],
  ask: Ask,
): Promise<PlacedObstacle | undefined> {
  if (user === undefined) return undefined;
  const argv = hasMatch(parts) ? ['-T', '-C', connection(user, host.facts.clientAddress)] : ['-T'];
  const output = await ask(argv);
  if (output.exitCode !== 0) return undefined;
  const found = obstacle(parseEffective(output.stdout), await visitorOf(host, user));
  if (found === undefined) return undefined;
  return { ...found, place: firstToSet(found.option, parts) ?? firstToMatch(found.option, parts) };
}

/** Where sshd would listen once it reads its configuration again. */
function portsOf(effective: ReadonlyMap<string, string>): readonly number[] {
  const ports = (effective.get('listenaddress') ?? '').split('\n').flatMap((address) => {
    const port = /:(\d+)$/.exec(address)?.[1];
    return port === undefined ? [] : [Number(port)];
  });
  return [...new Set(ports)];
}

/**
 * A port that the files give sshd and that it has not taken up yet: with the next reload it would leave the one we came in
 * through. Undefined where it stays, where it is declared, and where something else than the files decides.
 */
export async function portToCome(
  host: Host,
  declared: Readonly<Record<string, unknown>>,
  parts: readonly ConfigPart[],
  ask: Ask,
): Promise<PlacedObstacle | undefined> {
  const { sshPort, sshSocket, listening } = host.facts;
  if (sshPort === undefined || sshSocket === true || declared['Port'] !== undefined) return undefined;
  const ports = portsOf(parseEffective((await ask(['-T'])).stdout));
  const isKnown = (port: number) => port === sshPort || listening.some((socket) => socket.port === port);
  if (ports.length === 0 || ports.some(isKnown)) return undefined;
  // Ports on sshd's command line win over those in its files (sshd(8), -p).
  if (/^\s*SSHD_OPTS=.*-[po]/m.test((await host.readFile('/etc/default/ssh')) ?? '')) return undefined;
  return {
    option: 'port',
    value: ports.join(' '),
    why: `sshd still listens on port ${sshPort}, which it would leave with its next reload`,
    place: firstToSet('port', parts) ?? firstToSet('listenaddress', parts),
  };
}
