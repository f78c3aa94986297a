import type { Environment } from '#inventory/environment';
import type { Control } from '#playbook/control';
import { type Declared, ufw, ufwRule } from '#playbook/resources';
import type { Facts } from '#protocol/facts';

/** Where SSH comes in: the port of this very connection, and the one it is to move to. */
export function sshPorts({ ssh, hosts }: Environment, host: string, facts: Facts): readonly number[] {
  const inUse = facts.sshPort ?? hosts[host]?.port ?? 22;
  return [...new Set([inUse, ssh.port ?? inUse])];
}

/** The firewall's rules, SSH first, and only then the firewall. */
export function firewall({ ssh, firewall: { allow } }: Environment, ports: readonly number[]): readonly Declared[] {
  const sources = (from: 'any' | readonly string[]) => (from === 'any' ? ['any'] : from);
  return [
    ...ports.flatMap((port) => sources(ssh.allowFrom).map((from) => ufwRule({ port, from, comment: 'ssh' }))),
    ufwRule({ port: 80, comment: 'http' }),
    ufwRule({ port: 443, comment: 'https' }),
    ...allow.flatMap(({ port, protocol, from, comment = '' }) =>
      sources(from).map((source) =>
        ufwRule({ port, protocol, from: source, comment: comment.replaceAll(/[^\w .:/@+-]/g, ' ') }),
      ),
    ),
    ufw({ sshPorts: [...ports] }),
  ];
}

/** What `deploy audit` asks about the firewall. */
export const firewallControls: readonly Control[] = [];
