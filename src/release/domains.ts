import { Resolver } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';

/** Milliseconds that name servers have to answer: the release does not wait longer for what is only a warning. */
const PATIENCE = 300;

const NO_RECORDS = new Set(['ENODATA', 'ENOTFOUND']);

/** What is odd about where a domain leads; undefined where nothing is, or where no name server has answered. */
export function oddity(
  domain: string,
  found: readonly string[] | undefined,
  own: readonly string[],
): string | undefined {
  if (found === undefined) return undefined;
  if (found.length === 0) return `${domain} has no address in DNS.`;
  const known = new BlockList();
  for (const address of own) {
    if (isIP(address) !== 0) known.addAddress(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
  }
  const isKnown = (address: string) => known.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
  if (found.some(isKnown)) return undefined;
  return `${domain} leads to ${found.join(', ')}, which is no address of this environment's hosts: right where a CDN or a load balancer stands before them.`;
}

/** Looks up where domains lead that should lead to one of the hosts; resolves in time with what is odd about it. */
export async function lookUp(domains: readonly string[], hosts: readonly string[]): Promise<readonly string[]> {
  const resolver = new Resolver({ timeout: PATIENCE, tries: 1 });
  const late = setTimeout(() => resolver.cancel(), PATIENCE);
  const records = (asked: Promise<string[]>) =>
    asked.catch(({ code }: NodeJS.ErrnoException) => (NO_RECORDS.has(code ?? '') ? [] : undefined));
  const find = async (name: string): Promise<readonly string[] | undefined> => {
    if (isIP(name) !== 0) return [name];
    const [v4, v6] = await Promise.all([records(resolver.resolve4(name)), records(resolver.resolve6(name))]);
    const found = [...(v4 ?? []), ...(v6 ?? [])];
    return found.length === 0 && (v4 === undefined || v6 === undefined) ? undefined : found;
  };
  try {
    const [own, found] = await Promise.all([Promise.all(hosts.map(find)), Promise.all(domains.map(find))]);
    const known = own.flatMap((addresses) => addresses ?? []);
    return domains.flatMap((domain, index) => oddity(domain, found[index], known) ?? []);
  } finally {
    clearTimeout(late);
  }
}
