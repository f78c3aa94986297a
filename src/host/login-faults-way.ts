import type { Host } from '#resources/resource';
import { letsIn, readUfw } from '#resources/ufw-rules';
import { readTextIfThere } from './files.ts';
import type { FailedLogin } from './login-faults.ts';

/** Whether a table of the kernel's TCP sockets (proc(5), /proc/net/tcp) has one that listens on a port. */
export function listensOn(table: string, port: number): boolean {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  return table.split('\n').some((row) => {
    const [, local = '', , state] = row.trim().split(/\s+/);
    const isLoopback = local.startsWith('0100007F:') || local.startsWith('00000000000000000000000001000000:');
    return state === '0A' && local.endsWith(`:${hex}`) && !isLoopback;
  });
}

async function notListening({ family, port }: FailedLogin): Promise<string | undefined> {
  const [v4 = '', v6 = ''] = await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map(readTextIfThere));
  // A socket of IPv6 may take IPv4 as well, as systemd's do.
  if (listensOn(v6, port) || (family === 4 && listensOn(v4, port))) return undefined;
  return `nothing listens on port ${port} over IPv${family}`;
}

async function noRule(host: Host, { family, port }: FailedLogin): Promise<string | undefined> {
  const ufw = await readUfw({ ...host, once: (_, ask) => ask() });
  if (ufw === undefined || ufw.settings['ENABLED'] !== 'yes') return undefined;
  if (family === 6 && ufw.settings['IPV6'] !== 'yes') return 'ufw drops all of IPv6 (IPV6=no in /etc/default/ufw)';
  if (ufw.settings['DEFAULT_INPUT_POLICY'] === 'ACCEPT') return undefined;
  const client = host.facts.clientAddress;
  const known = client !== undefined && client.includes(':') === (family === 6) ? client : undefined;
  const rules = ufw.rules.filter(({ v6 }) => v6 === (family === 6));
  if (letsIn(rules, port, known)) return undefined;
  const whom = known === undefined ? 'anybody' : known;
  return `the firewall has no rule that lets ${whom} in to port ${port} over IPv${family}`;
}

/** Whether fail2ban's answer to `banned` names an address. */
export function namesBanned(answer: string, address: string): boolean {
  return answer.split(/[^0-9a-fA-F.:]+/).includes(address);
}

/** The sentence that fail2ban bans whoever is connected; undefined where it does not. */
export async function bannedClient(host: Host): Promise<string | undefined> {
  const client = host.facts.clientAddress;
  if (client === undefined || !(await host.has('fail2ban-client'))) return undefined;
  const output = await host.run(['fail2ban-client', 'banned']);
  return namesBanned(output.stdout, client) ? `fail2ban bans ${client}, where you come from` : undefined;
}

/** What keeps packets of a login from sshd. */
export async function wayFaults(host: Host, login: FailedLogin): Promise<readonly string[]> {
  // Whom sshd itself has refused, nothing has kept from it.
  if (/ was refused/.test(login.failure)) return [];
  const found = await Promise.all([notListening(login), noRule(host, login), bannedClient(host)]);
  return found.filter((fault) => fault !== undefined);
}
