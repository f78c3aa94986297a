import type { Found, HostProbe } from '#audit/audit';
import { people } from '#audit/people';
import type { Host } from '#resources/resource';
import {
  type ConfigPart,
  DIRECTORY,
  firstToMatch,
  firstToSet,
  hasMatch,
  inOrder,
  type Place,
  placeText,
} from '#resources/sshd-files';
import { parseEffective } from '#resources/sshd-options';
import { sshd as runSshd } from '#resources/sshd-program';

const OWN = `${DIRECTORY}/00-slipway.conf`;
// An address that is nobody's (RFC 5737), as a stranger's.
const STRANGER = 'host=stranger.invalid,addr=203.0.113.1,laddr=0.0.0.0,lport=22';

/** The whole configuration of sshd, and whether a `Match` block of somebody else's makes a difference between users. */
export async function configuration(host: Host): Promise<{ parts: readonly ConfigPart[]; differs: boolean }> {
  const parts = await inOrder(host, OWN);
  return { parts, differs: hasMatch(parts.filter(({ path }) => path !== OWN)) };
}

async function effective(host: Host, user?: string): Promise<ReadonlyMap<string, string>> {
  const output = await runSshd(host, ['-T', ...(user === undefined ? [] : ['-C', `user=${user},${STRANGER}`])]);
  if (output.exitCode === 0) return parseEffective(output.stdout);
  throw new Error(`sshd does not accept its own configuration: ${output.stderr.trim().split('\n').at(-1)}`);
}

/** What stands behind the option at a place. */
function textAt({ path, line }: Place, parts: readonly ConfigPart[]): string | undefined {
  const part = parts.findLast(({ path: at, firstLine = 1 }) => at === path && firstLine <= line);
  return part?.content
    .split('\n')
    [line - (part.firstLine ?? 1)]?.trim()
    .split(/[\s=]+/)
    .slice(1)
    .join(' ');
}

/** Keys are options in lower case, as `sshd -T` prints them. */
export const sshd: HostProbe = {
  name: 'sshd',
  async ask(host, keys) {
    const [{ parts, differs }, everybody] = await Promise.all([configuration(host), effective(host)]);
    const users = differs ? ['root', ...(await people(host))] : [];
    const each = await Promise.all(users.map((user) => effective(host, user)));
    const found = keys.map((key): readonly [string, Found] => {
      const value = everybody.get(key);
      const other = each.map((settings) => settings.get(key)).find((text) => text !== value);
      const matched = firstToMatch(key, parts);
      const isMatched = other !== undefined || matched?.match?.toLowerCase() === 'all';
      const place = isMatched ? matched : firstToSet(key, parts);
      const from = place === undefined ? undefined : placeText(place);
      // Debian 12's sshd does as DebianBanner says, and does not print it.
      const said = other ?? value ?? (place === undefined ? undefined : textAt(place, parts));
      return [key, said === undefined ? { cannot: 'the sshd of this host does not say' } : { value: said, from }];
    });
    return new Map(found);
  },
};
