import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { rememberLogin } from '#cli/logins';
import { connectOptions, finalTarget, placeOf } from '#cli/reach';
import { asDeployError } from '#core/errors';
import { isIn } from '#core/ranges';
import type { Environment, Host } from '#inventory/environment';
import type { Facts } from '#protocol/facts';
import type { Way, WaysAnswer } from '#protocol/plan';
import { type Connection, connect, type Target } from '#ssh/connection';
import { type HostSession, loginAfresh, prove } from '#ssh/operation';
import type { Bundle } from '#ssh/runner';

/** Seconds a login over the address family that is not in use may take. */
const OTHER_FAMILY = 5;

/** Who proves to a host's guard that nobody was locked out, and with what. */
export interface Prover {
  readonly environment: Environment;
  readonly host: Host;
  readonly bundle: Bundle;
  /** The connection that was open before the change. */
  readonly connection: Connection;
  readonly session: HostSession;
  /** Whether the first contact may have been made with a password, which nobody is asked for twice. */
  readonly askPassword: boolean;
  /** Whether a host that lets no fresh login in any more is what was asked for. */
  readonly forceAllowFrom: boolean;
}

const PRIVATE = new BlockList();
PRIVATE.addSubnet('10.0.0.0', 8);
PRIVATE.addSubnet('172.16.0.0', 12);
PRIVATE.addSubnet('192.168.0.0', 16);
PRIVATE.addSubnet('100.64.0.0', 10);
PRIVATE.addSubnet('169.254.0.0', 16);
PRIVATE.addSubnet('fc00::', 7, 'ipv6');
PRIVATE.addSubnet('fe80::', 10, 'ipv6');

const isPrivate = (address: string): boolean => PRIVATE.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');

/** The way that a connection goes: the address connected to, or through another host, what the host itself says of it. */
function wayInUse({ peer, address }: Connection, { clientAddress }: Facts): Way {
  const family = isIP(peer ?? '') || isIP(clientAddress ?? '') || isIP(address);
  return { family: family === 6 ? 6 : 4, address: peer ?? address };
}

/** Of a host's own addresses, the one of a family by which people outside may come, as seen from the address in use. */
export function ownAddress(addresses: readonly string[], family: 4 | 6, inUse: string): string | undefined {
  const inside = isIP(inUse) === 0 || isPrivate(inUse);
  return addresses.find((address) => isIP(address) === family && (inside || !isPrivate(address)));
}

/** The host's address of the other family: as its name says, else as the host does. */
async function otherWay({ host, connection }: Prover, facts: Facts, inUse: Way): Promise<Way | undefined> {
  if (host.family !== undefined) return undefined;
  const family = inUse.family === 4 ? 6 : 4;
  const named = connection.peer !== undefined && isIP(connection.address) === 0;
  const found = named ? await lookup(connection.address, { family }).catch(() => undefined) : undefined;
  const address = found?.address ?? ownAddress(facts.addresses, family, inUse.address);
  return address === undefined ? undefined : { family, address };
}

/** Why nobody can log in there; undefined where somebody can. */
async function refusalAt(prover: Prover, target: Target, deadline?: number): Promise<string | undefined> {
  try {
    await using _ = await connect(target, { ...connectOptions(prover.environment), deadline });
    return undefined;
  } catch (error) {
    const { code, message } = asDeployError(error);
    // Its sshd answers with the key that is pinned; the password was asked for once and is not kept.
    return prover.askPassword && code === 'authentication-failed' ? undefined : message;
  }
}

/** Whether the inventory goes on letting in whoever comes that way, by the address that the host sees. */
async function staysOpen(prover: Prover, target: Target): Promise<boolean> {
  const { allowFrom } = prover.environment.ssh;
  if (allowFrom === 'any') return true;
  try {
    await using connection = await connect(target, {
      ...connectOptions(prover.environment),
      deadline: OTHER_FAMILY,
    });
    const { stdout } = await connection.exec('echo "$SSH_CONNECTION"');
    return isIn(stdout.split(' ')[0] ?? '', allowFrom);
  } catch {
    // Why it does not open is told by whoever asks for that.
    return true;
  }
}

/** Over which addresses a fresh login works before anything is changed, as whoever is logged in now. */
async function waysOf(prover: Prover): Promise<WaysAnswer> {
  const { connection, session, forceAllowFrom } = prover;
  const { facts } = session.hello;
  const inUse = wayInUse(connection, facts);
  const at = ({ address }: Way): Target => ({ ...connection.target, via: address });
  const found = await otherWay(prover, facts, inUse);
  // What `ssh.allowFrom` is about to close need not be proven open; the way in use is, and stays so unless forced.
  const other = found !== undefined && (await staysOpen(prover, at(found))) ? found : undefined;
  const [own, others] = await Promise.all([
    refusalAt(prover, at(inUse)),
    other === undefined ? undefined : refusalAt(prover, at(other), OTHER_FAMILY),
  ]);
  const judged = [
    { way: inUse, why: forceAllowFrom ? undefined : own },
    ...(other === undefined ? [] : [{ way: other, why: others }]),
  ];
  return {
    ways: judged.flatMap(({ way, why }) => (why === undefined ? [way] : [])),
    broken: judged.flatMap(({ way, why }) => (why === undefined ? [] : [{ ...way, why }])),
  };
}

/** Tells the host's guard over which addresses a fresh login works now. */
export async function answerWays(prover: Prover): Promise<void> {
  // That the host cannot be told any more is said where the operation ends.
  await prover.session.tellWays(await waysOf(prover)).catch(() => undefined);
}

async function proveOver(prover: Prover, guard: string, target: Target, way: Way): Promise<void> {
  const { environment, bundle, connection } = prover;
  const proof = { guard, family: way.family, user: environment.ssh.user };
  try {
    const open = () => connect({ ...target, via: way.address }, connectOptions(environment));
    await using fresh = await loginAfresh(open);
    await prove(fresh, bundle, { ...proof, through: 'fresh' });
  } catch (error) {
    if (!prover.forceAllowFrom || asDeployError(error).code !== 'host-unreachable') throw error;
    await prove(connection, bundle, { ...proof, through: 'open' });
  }
}

/** Proves to the host's guard, by a fresh login as the final user over each way, that nobody was locked out. */
export async function answerProof(prover: Prover, guard: string, ways: readonly Way[]): Promise<void> {
  const { environment, host, session } = prover;
  const target = finalTarget(environment, host);
  const each = ways.map(async (way) => {
    try {
      await proveOver(prover, guard, target, way);
      return true;
    } catch (error) {
      const failure = `over IPv${way.family}, ${asDeployError(error).message}`;
      const refusal = { guard, family: way.family, port: target.port ?? 22, failure };
      // The operation says how it ended; that it cannot be told any more is its own matter.
      await session.refuseProof(refusal).catch(() => undefined);
      return false;
    }
  });
  const proven = await Promise.all(each);
  if (!proven.includes(false)) await rememberLogin(placeOf(host), environment.ssh.user);
}
