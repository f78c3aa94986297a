import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { Environment } from '#inventory/environment';
import type { Declaration } from '#protocol/plan';
import { renderTables, tableOf } from '#release/route-tables';
import type { ReleaseProps } from '#resources/release';
import { declared, environments, someFacts } from './environments.ts';

function check(property: (all: readonly Declaration[], environment: Environment) => void): void {
  fc.assert(
    fc.property(environments, someFacts, (environment, facts) => property(declared(environment, facts), environment)),
    { numRuns: 25 },
  );
}

const key = ({ kind, id }: Declaration) => `${kind}:${id}`;

/** Compose files among the properties of a declaration. */
function composeTexts({ kind, props }: Declaration): readonly string[] {
  if (kind === 'compose-project') return [props['compose'] as string];
  if (kind !== 'release') return [];
  const { slots, workers } = props as { slots: { blue: string; green: string }; workers?: string };
  return [slots.blue, slots.green, ...(workers === undefined ? [] : [workers])];
}

describe('the playbooks, for every inventory and host', () => {
  test('let SSH in before the firewall is switched on', () => {
    check((all, { ssh }) => {
      const at = all.findIndex(({ kind }) => kind === 'ufw');
      const ports = all[at]?.props['sshPorts'] as number[];
      expect(ports.length).toBeGreaterThan(0);
      if (ssh.port !== undefined) expect(ports).toContain(ssh.port);
      const before = all.slice(0, at).filter(({ kind }) => kind === 'ufw-rule');
      for (const port of ports) expect(before.map(({ props }) => props['port'])).toContain(port);
      expect(all.slice(at).filter(({ kind }) => kind === 'ufw-rule')).toEqual([]);
    });
  });

  test('prove the user before sshd is closed to others', () => {
    check((all) => {
      const at = (kind: string) => all.findIndex((one) => one.kind === kind);
      expect(at('user')).toBeLessThan(at('authorized-keys'));
      expect(at('authorized-keys')).toBeLessThan(at('sshd-config'));
      expect(at('sudoers')).toBeLessThan(at('sshd-config'));
    });
  });

  test('make nothing listen before the firewall is on', () => {
    const listeners = ['docker-daemon', 'nginx-site', 'docker-network', 'compose-project', 'release', 'certificate'];
    check((all) => {
      const firewall = all.findIndex(({ kind }) => kind === 'ufw');
      for (const [index, { kind }] of all.entries()) {
        if (listeners.includes(kind)) expect(index).toBeGreaterThan(firewall);
      }
    });
  });

  test('declare the same, byte for byte, from the same input', () => {
    fc.assert(
      fc.property(environments, someFacts, (environment, facts) => {
        const again = declared(structuredClone(environment), structuredClone(facts));
        expect(JSON.stringify(again)).toBe(JSON.stringify(declared(environment, facts)));
      }),
      { numRuns: 15 },
    );
  });

  test('show no secret: what holds one is sensitive, and no Compose file does', () => {
    check((all, { secrets }) => {
      const canaries = Object.values(secrets).flatMap((value) => /canary-[a-z0-9-]+-7f3a/.exec(value)?.[0] ?? []);
      for (const declaration of all) {
        const shown = [...composeTexts(declaration), ...(declaration.sensitive ? [] : [JSON.stringify(declaration)])];
        for (const canary of canaries) {
          expect(
            shown.some((text) => text.includes(canary)),
            `${key(declaration)} shows ${canary}`,
          ).toBe(false);
        }
      }
    });
  });

  test('keep every file with a secret to its owner', () => {
    check((all) => {
      for (const { kind, sensitive, props } of all) {
        if (kind === 'file' && sensitive) expect(props['mode']).toBe('0600');
      }
    });
  });

  test('reload or restart what reads a configuration', () => {
    const units: Readonly<Record<string, string>> = {
      'sshd-config': 'ssh.service',
      'fail2ban-jail': 'fail2ban.service',
      'docker-daemon': 'docker.service',
      'nginx-site': 'nginx.service',
      certificate: 'nginx.service',
      'nginx-limits': 'nginx.service',
    };
    check((all) => {
      for (const declaration of all) {
        const unit = units[declaration.kind];
        if (unit !== undefined)
          expect(
            declaration.triggers.map((trigger) => trigger.unit),
            key(declaration),
          ).toContain(unit);
      }
    });
  });

  test('write Compose files that are on the app network alone and publish nothing', () => {
    check((all, { app, services }) => {
      const numbers = new Set<string>();
      for (const declaration of all) {
        for (const text of composeTexts(declaration)) {
          // Compose reads YAML 1.1 in parts; both readings have to agree.
          const file = parse(text);
          expect(parse(text, { version: '1.1' })).toEqual(file);
          expect(file.networks).toEqual({ default: { name: app, external: true } });
          for (const service of Object.values<Record<string, unknown>>(file.services ?? {})) {
            expect(service).not.toHaveProperty('ports');
            expect(service).not.toHaveProperty('network_mode');
            expect(service['restart']).toBe('unless-stopped');
            const { ipv4_address: address } =
              (service['networks'] as { default?: { ipv4_address?: string } })?.default ?? {};
            if (address === undefined) continue;
            expect(numbers).not.toContain(address);
            numbers.add(address);
          }
        }
      }
      const release = all.find(({ kind }) => kind === 'release');
      expect(release === undefined).toBe(Object.keys(services).length === 0);
    });
  });

  test('pass the texts of a service on as they are, whatever they look like to Compose', () => {
    check((all, { services }) => {
      for (const text of all.flatMap(composeTexts)) {
        const file = parse(text) as { services: Record<string, Record<string, unknown>> };
        for (const [name, { command }] of Object.entries(file.services ?? {})) {
          const service = services[name.split('.')[0] ?? ''];
          if (service === undefined) continue;
          const unescaped = JSON.parse(JSON.stringify(command ?? null).replaceAll('$$', '$'));
          expect(unescaped).toEqual(service.compose['command'] ?? null);
        }
      }
    });
  });

  test('tell nginx and the gate the addresses that the slots have', () => {
    check((all, { app }) => {
      const props = all.find(({ kind }) => kind === 'release')?.props as ReleaseProps | undefined;
      const config = props === undefined ? '' : renderTables(app, { a: tableOf(props) });
      for (const { port, addresses } of props?.gates ?? []) {
        for (const slot of ['blue', 'green'] as const) {
          for (const address of addresses[slot]) {
            expect(config).toContain(`server ${address}:${port} max_fails=0;`);
            expect(props?.slots[slot]).toContain(`"${address}"`);
          }
        }
      }
    });
  });
});
