import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadEnvironment } from '#inventory/load';
import { load, MINIMAL, refusal, withProject } from './project.ts';

beforeAll(() => vi.stubEnv('HOME', '/nonexistent'));
afterAll(() => vi.unstubAllEnvs());

const ENV = { '.env.prod': 'P=sesame-sesame\n' };

const DATA = `${MINIMAL.replace('acme/shop:1" }', 'acme/shop:1", volumes: [uploads:/up, /srv/files:/files] }')}accessories:
  postgres: { image: "postgres:17", password: "\${P}" }
`;
const SECOND = `${DATA}  other: { type: postgres, image: "postgres:17", password: "\${P}" }\n`;

const OFFSITE = 'repository: "sftp:b@vault:/srv"';
const S3 = 'repository: "s3:https://s3.example.com/b"';
const REST = 'repository: "rest:https://r.example.com/"';

describe('backups that cannot be meant', () => {
  it.each([
    [
      'a volume that nobody mounts',
      DATA,
      `${OFFSITE}, volumes: { upload: {} }`,
      'backups.volumes.upload',
      'did you mean "uploads"?',
    ],
    [
      'a path that nobody mounts',
      DATA,
      `${OFFSITE}, volumes: { /etc: {} }`,
      'backups.volumes["/etc"]',
      'there are: uploads, /srv/files',
    ],
    [
      'a volume named as a database',
      DATA.replace('uploads:', 'postgres:'),
      `${OFFSITE}, volumes: { postgres: {} }`,
      'backups.volumes.postgres',
      'would be called "postgres" in the backups, as accessories.postgres is',
    ],
    [
      'the folder that a database is in',
      DATA.replace('/srv/files:/files', '/srv/shop:/files'),
      `${OFFSITE}, volumes: { /srv/shop: {} }`,
      'backups.volumes["/srv/shop"]',
      'holds the data of accessories.postgres, which its own tools copy',
    ],
    [
      'the volume that a server is in',
      `${DATA}  sql: { image: "mariadb:11", volumes: ["sql-data:/var/lib/mysql"], backup: { type: mariadb, password: "\${P}" } }\n`,
      `${OFFSITE}, volumes: { sql-data: {} }`,
      'backups.volumes.sql-data',
      'holds the data of accessories.sql',
    ],
    ['no place at all', DATA, 'local: false', 'backups.local', 'leaves no place for copies'],
    [
      'one place twice',
      DATA,
      'repository: /var/backups/slipway/shop/',
      'backups.repository',
      'is the folder of the local copies too',
    ],
    [
      'a password in an address',
      DATA,
      'repository: "rest:https://u:word@r.example.com/"',
      'backups.repository',
      'has a user in it',
    ],
    ['a repository of no kind', DATA, 'repository: "ftp://x"', 'backups.repository', 'is no repository'],
    ['hours only', DATA, `${OFFSITE}, keep: 12h`, 'backups.keep', 'is less than a day'],
    ['none to be kept', DATA, `${OFFSITE}, atLeast: 0`, 'backups.atLeast', 'at least 1'],
    [
      'keys for SFTP',
      DATA,
      `${OFFSITE}, credentials: { AWS_ACCESS_KEY_ID: x123 }`,
      'backups.credentials.AWS_ACCESS_KEY_ID',
      'an SFTP server takes a key',
    ],
    [
      'half of what S3 needs',
      DATA,
      `${S3}, credentials: { AWS_ACCESS_KEY_ID: x123 }`,
      'backups.credentials',
      'lacks AWS_SECRET_ACCESS_KEY',
    ],
    ['nothing of what S3 needs', DATA, S3, 'backups.credentials', 'lacks AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY'],
    [
      'a misspelt name',
      DATA,
      `${REST}, credentials: { RESTIC_REST_USERNAME: abcd, RESTIC_REST_PASSWORT: "\${P}" }`,
      'backups.credentials.RESTIC_REST_PASSWORT',
      'did you mean "RESTIC_REST_PASSWORD"?',
    ],
    ['a host key for https', DATA, `${REST}, hostKey: ssh-ed25519 AAAAC3Nza`, 'backups.hostKey', 'is for sftp only'],
    [
      'no schedule',
      DATA,
      `${OFFSITE}, volumes: { uploads: { schedule: hourly } }`,
      'backups.volumes.uploads.schedule',
      'is no schedule',
    ],
    ['no URL', DATA, `${OFFSITE}, ping: hc-ping.com/x`, 'backups.ping', 'is no URL'],
  ])('%s is refused', async (_what, inventory, backups, path, said) => {
    const message = await refusal({ ...ENV, 'inventory/prod.yaml': `${inventory}backups: { ${backups} }\n` });
    expect(message).toContain(path);
    expect(message).toContain(said);
  });

  it.each([
    [
      'an accessory that is not there',
      DATA,
      'assert: { postgre: [select true] }',
      'drills.assert.postgre',
      'did you mean "postgres"?',
    ],
    [
      'one of several databases',
      SECOND,
      'assert: [select true]',
      'drills.assert',
      'does not say which database it asks',
    ],
    ['no database', MINIMAL, 'assert: [select true]', 'drills.assert', 'has no PostgreSQL accessory to ask'],
  ])('assertions for %s are refused', async (_what, inventory, drills, path, said) => {
    const message = await refusal({
      ...ENV,
      'inventory/prod.yaml': `${inventory}backups: { ${OFFSITE} }\ndrills: { ${drills} }\n`,
    });
    expect(message).toContain('has 1 problem');
    expect(message).toContain(path);
    expect(message).toContain(said);
  });

  it('a secret that is written down is refused', async () => {
    const credentials = '{ AWS_ACCESS_KEY_ID: AKIA123, AWS_SECRET_ACCESS_KEY: written-down }';
    const message = await refusal({
      ...ENV,
      'inventory/prod.yaml': `${DATA}backups: { ${S3}, credentials: ${credentials} }\n`,
    });
    expect(message).toContain('has 1 problem');
    expect(message).toContain('backups.credentials.AWS_SECRET_ACCESS_KEY  is written into the inventory');
  });

  it('drills of nothing are refused', async () => {
    expect(await refusal({ ...ENV, 'inventory/prod.yaml': `${DATA}drills: { schedule: "0 4 * * *" }\n` })).toContain(
      'has nothing to restore: declare `backups`',
    );
  });
});

describe('backups that are meant', () => {
  const warningsOf = (inventory: string) =>
    withProject({ ...ENV, 'inventory/prod.yaml': inventory }, async (directory) =>
      (await loadEnvironment(directory, 'prod')).warnings.filter((warning) => warning.includes('backup')),
    );

  it('are loaded with everything that has a default', async () => {
    const text = `${SECOND}backups: { ${OFFSITE}, volumes: { uploads: {}, /srv/files: { containers: stop } } }\ndrills: { assert: { other: [select true] } }\n`;
    const { backups } = await load({ ...ENV, 'inventory/prod.yaml': text });
    expect(backups?.repositories.map(({ name, url }) => [name, url])).toEqual([
      ['local', '/var/backups/slipway/shop'],
      ['offsite', 'sftp:b@vault:/srv'],
    ]);
    expect(backups?.keep).toBe(30 * 86_400);
    expect(backups?.drill).toEqual({ schedule: '0 4 * * 0', assert: { other: ['select true'] } });
    expect(Object.keys(backups?.volumes ?? {})).toEqual(['uploads', '/srv/files']);
  });

  it('are warned of where they are at one place, of nothing, or forget a volume', async () => {
    expect(await warningsOf(`${DATA}backups: {}\n`)).toEqual([
      expect.stringContaining('backups names no repository off the host'),
      expect.stringContaining('the volume uploads is in no backup'),
    ]);
    expect(await warningsOf(`${MINIMAL}backups: { ${OFFSITE} }\n`)).toEqual([
      'backups is declared, and nothing is backed up',
    ]);
    expect(await warningsOf(`${DATA}backups: { ${OFFSITE}, volumes: { uploads: {} } }\n`)).toEqual([]);
    expect(await warningsOf(DATA)).toEqual([]);
  });
});
