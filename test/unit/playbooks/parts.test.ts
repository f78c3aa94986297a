import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { requiredRsaSize, rsaBits } from '#core/rsa';
import { PATHS } from '#host/paths';
import { composeYaml } from '#playbooks/compose-text';
import { dockerSource } from '#playbooks/docker-source';
import { environmentFile } from '#playbooks/environment-file';
import { postgresUser, redisUser } from '#playbooks/image-user';
import { CONFIGURATION, flagsFolder, RUNNER } from '#playbooks/places';
import { nominalMemory, postgresMemory } from '#playbooks/postgres-memory';
import type { Facts } from '#protocol/facts';
import { flagsOf } from '#release/flags';

const GB = 1024 ** 3;

describe('an environment file', () => {
  test('has each value in double quotes on one line, with a backslash before what would mean something', () => {
    expect(environmentFile({ B: 'a"b\\c$d', A: 'x\ny' })).toBe('A="x\\ny"\nB="a\\"b\\\\c\\$d"\n');
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (value) => {
        const text = environmentFile({ NAME: value });
        expect(text.match(/\n/g)).toHaveLength(1);
        const inner = /^NAME="([\s\S]*)"\n$/.exec(text)?.[1] ?? '';
        const back = inner.replaceAll(/\\([\s\S])/g, (_, char: string) => ({ n: '\n', r: '\r' })[char] ?? char);
        expect(back).toBe(value);
        expect(inner.replaceAll(/\\[\s\S]/g, '')).not.toMatch(/["$\n\r]/);
      }),
    );
  });
});

describe('data in a Compose file', () => {
  test('reads the same by either version of YAML, dollars doubled', () => {
    const scalar = fc.oneof(fc.string(), fc.constantFrom('yes', '012', '1_000', '2026-01-01', '1:20', '~', '${A}'));
    const data = fc.dictionary(fc.stringMatching(/^[a-z_.-]{1,8}$/), fc.oneof(scalar, fc.array(scalar), fc.integer()), {
      minKeys: 1,
      noNullPrototype: true,
    });
    fc.assert(
      fc.property(data, (value) => {
        const text = composeYaml(value);
        const wanted = JSON.parse(JSON.stringify(value), (_, entry) =>
          typeof entry === 'string' ? entry.replaceAll('$', '$$$$') : entry,
        );
        expect(parse(text)).toEqual(wanted);
        expect(parse(text, { version: '1.1' })).toEqual(wanted);
      }),
    );
  });
});

describe("PostgreSQL's memory", () => {
  test('does not change with the few percent that a kernel keeps for itself', () => {
    for (const nominal of [0.5, 1, 2, 3, 4, 6, 8, 16, 24, 32, 64].map((size) => size * GB)) {
      for (const share of [0.95, 0.97, 0.99, 1]) expect(nominalMemory(nominal * share)).toBe(nominal);
    }
  });

  test('fits into half of the host', () => {
    const pool = { name: 'pgbouncer', image: 'x', poolSize: 20, maxClientConnections: 500 };
    const memory = postgresMemory({ memory: undefined, maxConnections: undefined, pgbouncer: pool }, 4 * GB);
    expect(memory).toMatchObject({ maxConnections: 50, sharedBuffers: GB / 2, effectiveCacheSize: 1.5 * GB });
    fc.assert(
      fc.property(fc.integer({ min: GB / 2, max: 64 * GB }), (bytes) => {
        const { sharedBuffers, effectiveCacheSize, workMem, maintenanceWorkMem } = postgresMemory(
          { memory: undefined, maxConnections: undefined, pgbouncer: pool },
          bytes,
        );
        expect(sharedBuffers + 4 * workMem + maintenanceWorkMem).toBeLessThan(bytes / 2 + GB / 8);
        expect(effectiveCacheSize).toBeLessThan(bytes / 2 + GB);
      }),
    );
  });
});

describe('what a host needs', () => {
  const facts = (id: string, version: string, codename: string) =>
    ({ os: { id, version, codename, name: id } }) as unknown as Facts;

  test('Docker comes from the distribution where that has Compose v2', () => {
    expect(dockerSource(facts('debian', '13', 'trixie')).repository).toBeUndefined();
    expect(dockerSource(facts('debian', '12', 'bookworm')).repository).toEqual({
      uri: 'https://download.docker.com/linux/debian',
      suite: 'bookworm',
    });
  });

  test('images run as the users they were made for', () => {
    expect(postgresUser('postgres:17')).toEqual({ uid: '999', gid: '999' });
    expect(postgresUser('postgres:17-alpine')).toEqual({ uid: '70', gid: '70' });
    expect(postgresUser('timescale/timescaledb:latest-pg17').uid).toBe('70');
    expect(redisUser('redis:8-alpine').gid).toBe('1000');
  });

  test('a short RSA key of somebody declared is not locked out', () => {
    const rsa = (bits: number) => {
      const field = (bytes: Buffer) => {
        const length = Buffer.alloc(4);
        length.writeUInt32BE(bytes.length);
        return Buffer.concat([length, bytes]);
      };
      const modulus = Buffer.concat([Buffer.of(0, 0x80), Buffer.alloc(bits / 8 - 1, 1)]);
      const blob = Buffer.concat([field(Buffer.from('ssh-rsa')), field(Buffer.of(1, 0, 1)), field(modulus)]);
      return `ssh-rsa ${blob.toString('base64')} ana@laptop`;
    };
    expect(rsaBits(rsa(2048))).toBe(2048);
    expect(requiredRsaSize([rsa(4096)])).toBe(3072);
    expect(requiredRsaSize([rsa(4096), rsa(2048), 'ssh-ed25519 AAAA x'])).toBe(2048);
  });

  test('places are where the host side has them', () => {
    expect(RUNNER).toBe(`${PATHS.software}/current/slipway-host`);
    expect(flagsFolder('shop')).toBe(flagsOf('shop'));
    expect(CONFIGURATION).toBe(PATHS.configuration);
  });
});
