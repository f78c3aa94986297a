import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { listEnvironments, loadEnvironment } from '#inventory/load';
import { InventoryError } from '#inventory/problems';
import { KEY, load, MINIMAL, refusal, withProject } from './project.ts';

const root = new URL('../../../', import.meta.url).pathname;

describe('an inventory', () => {
  it('is completed with defaults', async () => {
    const environment = await load({ 'inventory/prod.yaml': MINIMAL });
    expect(environment).toMatchObject({
      name: 'prod',
      app: 'shop',
      hosts: {
        vps: { name: 'vps', address: '203.0.113.10', user: undefined, port: undefined, identityFile: undefined },
      },
      ssh: { user: 'deploy', authorizedKeys: [KEY], allowFrom: 'any', port: undefined, options: {} },
      firewall: { allow: [] },
      harden: {
        fail2ban: { maxRetry: 5, findTime: 600, banTime: 3600, ignore: [] },
        allowModules: [],
        coreDumps: false,
        timeSync: true,
        auditd: false,
        swap: undefined,
      },
      docker: { logMaxSize: 10 * 1024 ** 2, logMaxFile: 3 },
      services: { web: { name: 'web', image: 'acme/shop:1', replicas: 1, environment: {}, compose: {} } },
      routes: [{ domain: 'shop.example.com', paths: [{ path: '/', service: 'web', port: 3000 }] }],
      packages: { wait: 600 },
      release: { healthTimeout: 30, command: undefined, watch: 10, canary: [], drain: 30, hold: 30, warm: 300 },
      proxy: { clientMaxBodySize: 16 * 1024 ** 2, rateLimit: undefined },
      audit: { accept: {} },
      logs: { keep: 30 },
      warnings: [],
    });
  });

  it('is frozen all the way down', async () => {
    const environment = await load({ 'inventory/prod.yaml': MINIMAL });
    const thaw = (value: unknown): boolean =>
      value !== null && typeof value === 'object' && (!Object.isFrozen(value) || Object.values(value).some(thaw));
    expect(thaw(environment)).toBe(false);
  });

  it('may be as full as the example', async () => {
    const example = await readFile(join(root, 'inventory/example.yaml'), 'utf8');
    const env = 'REGISTRY_TOKEN="registry#token"\nPOSTGRES_PASSWORD=a=b$c\nSEARCH_KEY=search-key\n';
    const environment = await load({ 'inventory/prod.yaml': example, '.env.prod': env });
    expect(environment.accessories).toMatchObject({
      postgres: { type: 'postgres', password: 'a=b$c', pgbouncer: { name: 'pgbouncer', poolSize: 20 } },
      redis: { type: 'redis', maxmemory: 256 * 1024 ** 2, storage: '/srv/shop/redis' },
      search: { type: 'container', environment: { MEILI_MASTER_KEY: 'search-key' } },
    });
    expect(environment.services).toMatchObject({
      web: {
        environment: { DATABASE_URL: 'postgres://app:a=b$c@pgbouncer:5432/app' },
        healthPath: '/up',
        healthcheck: undefined,
        volumes: [{ type: 'volume', source: 'uploads', target: '/app/uploads', readOnly: false }],
        compose: { deploy: { resources: { limits: { cpus: 1.5, memory: '512m' } } }, stop_grace_period: '30s' },
      },
      worker: { dependsOn: ['web'], healthPath: undefined, compose: { command: 'node worker.js' } },
    });
    expect(environment.routes[1]?.paths.map(({ path }) => path)).toEqual(['/live', '/']);
    expect(Object.keys(environment.secrets).sort()).toEqual(['POSTGRES_PASSWORD', 'REGISTRY_TOKEN', 'SEARCH_KEY']);
    expect(environment.warnings).toEqual([]);
  });

  it('means what Compose means, in one form', async () => {
    const environment = await load({
      'inventory/prod.yaml': `app: shop
hosts: { vps: { address: vps } }
ssh: { authorizedKeys: [${KEY}], port: 2222, allowFrom: [203.0.113.0/24] }
firewall: { allow: [443/udp, { port: 9100/tcp, from: [198.51.100.7], comment: metrics }] }
services:
  web:
    image: acme/shop:1
    environment: [A=1=2, B=]
    depends_on: { worker: { condition: service_started }, redis: {} }
    volumes: ["/srv/x:/x:ro", { type: volume, source: y, target: /y }]
    healthcheck: { test: "true" }
  worker: { image: acme/shop:1, environment: { N: 1, T: true } }
routes:
  Bücher.Example.com.: [{ to: web:80 }, { path: /api, to: worker:81 }]
accessories:
  analytics: { type: postgres, image: "postgres:17", password: "\${PASSWORD}", memory: 1.5gb }
  ledger: { type: postgres, image: "postgres:17", password: "\${PASSWORD}", pgbouncer: false, storage: /data/ledger }
  search: { image: "search:1", deploy: { resources: { limits: { memory: 1g } } } }
  redis: { image: "redis:8" }
`,
      '.env.prod': 'PASSWORD=abcdefgh\n',
    });
    expect(environment.ssh).toMatchObject({ port: 2222, allowFrom: ['203.0.113.0/24'] });
    expect(environment.firewall.allow).toEqual([
      { port: 443, protocol: 'udp', from: 'any', comment: undefined },
      { port: 9100, protocol: 'tcp', from: ['198.51.100.7'], comment: 'metrics' },
    ]);
    expect(environment.services).toMatchObject({
      web: {
        environment: { A: '1=2', B: '' },
        dependsOn: ['worker'],
        volumes: [
          { type: 'bind', source: '/srv/x', target: '/x', readOnly: true },
          { type: 'volume', source: 'y', target: '/y', readOnly: false },
        ],
        healthcheck: { test: 'true' },
        healthPath: undefined,
      },
      worker: { environment: { N: '1', T: 'true' } },
    });
    expect(environment.routes).toEqual([
      {
        domain: 'xn--bcher-kva.example.com',
        paths: [
          { path: '/api', service: 'worker', port: 81 },
          { path: '/', service: 'web', port: 80 },
        ],
      },
    ]);
    expect(environment.accessories).toMatchObject({
      analytics: {
        memory: 1.5 * 1024 ** 3,
        pgbouncer: { name: 'analytics-pgbouncer' },
        storage: '/srv/shop/analytics',
      },
      ledger: { pgbouncer: undefined, storage: '/data/ledger' },
      search: { type: 'container', compose: { deploy: { resources: { limits: { memory: '1g' } } } } },
    });
  });

  it('of the sandbox lacks nothing but a sandbox', async () => {
    const error = await loadEnvironment(root, 'sandbox').catch((reason: unknown) => reason);
    const problems = error instanceof InventoryError ? error.problems : [];
    expect(problems.filter(({ message }) => !message.includes('there is no such file'))).toEqual([]);
  });

  it('warns of images without a tag and of secrets that all may read', async () => {
    const files = {
      'inventory/prod.yaml': MINIMAL.replace('acme/shop:1', 'localhost:5000/shop'),
      '.env.prod': 'A=1234\n',
    };
    await withProject(files, async (directory) => {
      await chmod(join(directory, '.env.prod'), 0o644);
      const { warnings } = await loadEnvironment(directory, 'prod');
      expect(warnings).toEqual([
        '.env.prod can be read by every user of this machine; run: chmod 600 .env.prod',
        'services.web.image names no tag, so it means localhost:5000/shop:latest; a tag says which version runs',
      ]);
    });
  });

  it.each([
    ['volumes: [data:/data]', ['start-first', 'stop-first']],
    ['volumes: [{ type: volume, source: data, target: /data }]', ['start-first', 'stop-first']],
    ['volumes: [data:/data], deploy: { update_config: { order: start-first } }', undefined],
    ['volumes: [data:/data:ro, /srv/x:/x]', undefined],
  ])(
    'warns where two releases would write to one volume and nobody has said that they may: %s',
    async (keys, named) => {
      const files = { 'inventory/prod.yaml': MINIMAL.replace('acme/shop:1" }', `acme/shop:1", ${keys} }`) };
      await withProject(files, async (directory) => {
        const { warnings } = await loadEnvironment(directory, 'prod');
        expect(warnings).toHaveLength(named === undefined ? 0 : 1);
        for (const order of named ?? []) expect(warnings[0]).toContain(order);
      });
    },
  );

  it('says its problems to machines too', async () => {
    const files = { 'inventory/prod.yaml': MINIMAL.replace('image:', 'imagee:') };
    const error = await withProject(files, (directory) => loadEnvironment(directory, 'prod').catch((reason) => reason));
    expect(error).toMatchObject({ code: 'inventory-invalid', exitCode: 2 });
    expect(error.problems).toEqual([
      {
        path: 'services.web.imagee',
        file: 'inventory/prod.yaml',
        line: 7,
        column: 10,
        message: 'unknown key; did you mean "image"?',
      },
    ]);
  });

  it('is one of those in its directory', async () => {
    const files = { 'inventory/b.yaml': MINIMAL, 'inventory/a.yaml': MINIMAL, 'inventory/schema.json': '{}' };
    expect(await withProject(files, listEnvironments)).toEqual(['a', 'b']);
    expect(await withProject({}, listEnvironments)).toEqual([]);
  });

  it('is never looked for outside of it', async () => {
    const error = await withProject({ 'prod.yaml': MINIMAL }, (directory) =>
      loadEnvironment(directory, '../prod').catch((reason) => reason),
    );
    expect(error).toMatchObject({ code: 'inventory-missing' });
  });
});

describe('extends', () => {
  const base = `${MINIMAL}harden:
  fail2ban: { maxRetry: 9, ignore: [198.51.100.1, 198.51.100.2] }
accessories:
  redis: { image: "redis:8", maxmemory: 1gb }
`;

  it('merges maps, replaces lists and values, and removes with null', async () => {
    const environment = await load({
      'inventory/base.yaml': base,
      'inventory/staging.yaml': 'extends: base\nhosts: { vps: { address: 203.0.113.20 } }\n',
      'inventory/prod.yaml': `extends: staging
hosts: { vps: { port: 2200 }, two: { address: 203.0.113.30 } }
harden: { fail2ban: { ignore: [198.51.100.3] } }
accessories: { redis: null }
`,
    });
    expect(Object.values(environment.hosts).map(({ address, port }) => `${address}:${port}`)).toEqual([
      '203.0.113.20:2200',
      '203.0.113.30:undefined',
    ]);
    expect(environment.harden.fail2ban).toMatchObject({ maxRetry: 9, ignore: ['198.51.100.3'] });
    expect(environment.accessories).toEqual({});
  });

  it("reads the parent's secrets first, and the child's win", async () => {
    const services = 'services: { web: { environment: { A: "${ONE}", B: "${TWO}" } } }\n';
    const environment = await load({
      'inventory/base.yaml': base,
      'inventory/prod.yaml': `extends: base\n${services}`,
      '.env.base': 'ONE=one-of-base\nTWO=two-of-base\n',
      '.env.prod': 'TWO=two-of-prod\n',
    });
    expect(environment.services['web']?.environment).toEqual({ A: 'one-of-base', B: 'two-of-prod' });
    expect(environment.secrets).toEqual({ ONE: 'one-of-base', TWO: 'two-of-prod' });
  });

  it('asks for no secret of what was removed', async () => {
    const withPostgres = `${base}  postgres: { image: "postgres:17" }\n`;
    const files = {
      'inventory/base.yaml': withPostgres,
      'inventory/prod.yaml': 'extends: base\naccessories: { postgres: }\n',
    };
    expect(Object.keys((await load(files)).accessories)).toEqual(['redis']);
  });

  it('reports a problem where it was written', async () => {
    const files = {
      'inventory/base.yaml': base.replace('maxRetry: 9', 'maxRetry: often'),
      'inventory/prod.yaml': 'extends: base\nservices:\n  web: { image: "Wrong Image" }\n',
    };
    expect(await refusal(files)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 2 problems:

        inventory/prod.yaml:3:17  services.web.image  "Wrong Image" is no image reference; write it like ghcr.io/acme/shop:1.4.2 or name@sha256:…
        inventory/base.yaml:11:25  harden.fail2ban.maxRetry  expected a number, got text"
    `);
  });

  it('may not go in a circle or to nowhere', async () => {
    const circle = { 'inventory/base.yaml': `extends: prod\n${base}`, 'inventory/prod.yaml': 'extends: base\n' };
    expect(await refusal(circle)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/base.yaml:1:10  extends  goes in a circle: prod → base → prod"
    `);
    const nowhere = { 'inventory/base.yaml': base, 'inventory/prod.yaml': `extends: bsae\n${MINIMAL}` };
    expect(await refusal(nowhere)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:1:10  extends  names "bsae", which does not exist; environments: base, prod"
    `);
    expect(await refusal({ 'inventory/prod.yaml': `extends: 5\n${MINIMAL}` })).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:1:10  extends  expected text, got a number; put it in quotes"
    `);
  });

  it('removes nothing that was not there', async () => {
    const files = { 'inventory/base.yaml': base, 'inventory/prod.yaml': 'extends: base\nservices: { worker: null }\n' };
    expect(await refusal(files)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:2:21  services.worker  has no value; expected a map"
    `);
  });
});

describe('variables', () => {
  const withText = (text: string): string =>
    MINIMAL.replace('acme/shop:1" }', () => `acme/shop:1", environment: { TEXT: ${JSON.stringify(text)} } }`);
  const env = 'TOKEN=secret-1\nEMPTY=\nMULTI="line one\nline # two"\nQUOTED=\'it costs $5\'\n';
  const cases: readonly (readonly [string, string])[] = [
    ['${TOKEN}', 'secret-1'],
    ['a${TOKEN}b${TOKEN}', 'asecret-1bsecret-1'],
    ['${TOKEN:-other}', 'secret-1'],
    ['${NONE:-other}', 'other'],
    ['${NONE-other}', 'other'],
    ['${NONE:-}', ''],
    ['${EMPTY:-other}', 'other'],
    ['[${EMPTY-other}]', '[]'],
    ['${TOKEN:?must be set}', 'secret-1'],
    ['${TOKEN:+set}', 'set'],
    ['[${NONE:+set}]', '[]'],
    ['${NONE:-costs $$5}', 'costs $5'],
    ['$$TOKEN and $${TOKEN}', '$TOKEN and ${TOKEN}'],
    ['${MULTI}', 'line one\nline # two'],
    // What a value holds is never read as a variable again.
    ['${QUOTED}', 'it costs $5'],
  ];
  it.each(cases)('reads %s', async (written, meant) => {
    const environment = await load({ 'inventory/prod.yaml': withText(written), '.env.prod': env });
    expect(environment.services['web']?.environment['TEXT'] ?? '').toBe(meant);
  });

  it('never come from the process', async () => {
    expect(await refusal({ 'inventory/prod.yaml': withText('${PATH}') })).toContain('needs ${PATH}, which is not set');
  });

  it('without quotes stay text', async () => {
    const inventory = MINIMAL.replace('acme/shop:1" }', 'acme/shop:1", environment: { PIN: "${PIN}" } }');
    const environment = await load({ 'inventory/prod.yaml': inventory, '.env.prod': 'PIN=0123\n' });
    expect(environment.services['web']?.environment).toEqual({ PIN: '0123' });
  });
});
