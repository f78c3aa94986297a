import type { HostProbe } from '#audit/audit';
import { parseEffective } from '#resources/sshd-options';

/** Keys are options in lower case, as `sshd -T` prints them. */
export const sshd: HostProbe = {
  name: 'sshd',
  async ask(host, keys) {
    const { stdout } = await host.must(['/usr/sbin/sshd', '-T']);
    const effective = parseEffective(stdout);
    return new Map(keys.map((key) => [key, { value: effective.get(key) }]));
  },
};
