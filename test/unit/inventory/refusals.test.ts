import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadEnvironment } from '#inventory/load';
import { scratch } from '#test/support/scratch';
import { KEY, MINIMAL, refusal, withProject } from './project.ts';

const said = (inventory: string, env?: string): Promise<string> =>
  refusal({ 'inventory/prod.yaml': inventory, ...(env === undefined ? {} : { '.env.prod': env }) });

// Whose machine it is must not matter: nobody's keys are found there.
beforeAll(() => vi.stubEnv('HOME', '/nonexistent'));
afterAll(() => vi.unstubAllEnvs());

describe('keys', () => {
  it('names an unknown key and the one that was meant', async () => {
    expect(await said(MINIMAL.replace('image:', 'imagee:'))).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:7:10  services.web.imagee  unknown key; did you mean "image"?"
    `);
  });

  it('knows keys in another spelling', async () => {
    expect(await said(`${MINIMAL}proxy: { client_max_body_size: 1g }\n`)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:10:10  proxy.client_max_body_size  unknown key; did you mean "clientMaxBodySize"?"
    `);
  });

  it('lists what is known where nothing is near', async () => {
    expect(await said(`${MINIMAL}logs: { destination: s3 }\n`)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:10:9  logs.destination  unknown key; known here: keep"
    `);
  });

  it('says why some Compose keys have no place, and what to write instead', async () => {
    const keys =
      'ports: ["80:80"], restart: always, networks: [a], container_name: x, network_mode: host, env_file: .env';
    expect(await said(MINIMAL.replace('acme/shop:1" }', `acme/shop:1", ${keys} }`))).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 6 problems:

        inventory/prod.yaml:7:32  services.web.ports  has no place here: no port is published past the firewall; make it public with \`routes: { <domain>: <service>:<port> }\`
        inventory/prod.yaml:7:50  services.web.restart  has no place here: containers are always restarted until they are stopped on purpose; leave it out
        inventory/prod.yaml:7:67  services.web.networks  has no place here: all containers of an app share one network and find each other by name; leave it out
        inventory/prod.yaml:7:82  services.web.container_name  has no place here: container names carry the app and the slot, so that two can run side by side; leave it out
        inventory/prod.yaml:7:101  services.web.network_mode  has no place here: containers run on the app's own network; leave it out
        inventory/prod.yaml:7:121  services.web.env_file  has no place here: secrets come from .env.<name>; write \`environment: { NAME: \${NAME} }\`"
    `);
  });

  it('refuses a key that is declared twice', async () => {
    expect(await said(MINIMAL.replace('ssh:', '  vps: { address: 203.0.113.11 }\nssh:'))).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:4:3  hosts.vps  is declared twice; the first is on line 3"
    `);
  });

  it('refuses keys that exclude each other', async () => {
    const both = 'acme/shop:1", healthcheck: { path: /up, test: [CMD, "true"] } }';
    expect(await said(MINIMAL.replace('acme/shop:1" }', both))).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:7:58  services.web.healthcheck.test  does not go together with the keys beside it"
    `);
  });
});

describe('values', () => {
  it('names the type that was expected', async () => {
    const inventory = `${MINIMAL}harden:
  swap: 2
  unattendedUpgrades: { reboot: "yes" }
  fail2ban: { maxRetry: many, ignore: 10.0.0.1 }
docker: [10m]
release:
  healthTimeout:
`;
    expect(await said(inventory)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 6 problems:

        inventory/prod.yaml:11:9  harden.swap  expected text, got a number; put it in quotes
        inventory/prod.yaml:12:33  harden.unattendedUpgrades.reboot  expected true or false, got text
        inventory/prod.yaml:13:25  harden.fail2ban.maxRetry  expected a number, got text
        inventory/prod.yaml:13:39  harden.fail2ban.ignore  expected a list, got text
        inventory/prod.yaml:14:1  docker  expected a map, got a list
        inventory/prod.yaml:16:17  release.healthTimeout  has no value; expected text"
    `);
  });

  it('asks for what is missing', async () => {
    expect(await said('services: { web: {} }\nhosts: { vps: {} }\n')).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 4 problems:

        inventory/prod.yaml:1:1  app  is missing: the name of the app; everything on a host that belongs to it carries this name.
        inventory/prod.yaml:1:1  ssh.authorizedKeys  is missing, and there is no ~/.ssh/id_ed25519.pub: without a public key nobody could log in later. Name one, or make one with: ssh-keygen -t ed25519
        inventory/prod.yaml:1:13  services.web.image  is missing: the image to run, with its tag or digest.
        inventory/prod.yaml:2:10  hosts.vps.address  is missing: the IP address or name the host is reached under; an alias of ~/.ssh/config works too."
    `);
  });

  it('refuses a service without a body', async () => {
    expect(await said(MINIMAL.replace('web: { image: "acme/shop:1" }', 'web:'))).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:7:7  services.web  has no value; expected a map"
    `);
  });

  it('checks addresses, networks and ports', async () => {
    const inventory = `app: shop
hosts:
  a: { address: "http://203.0.113.10" }
  b: { address: 203.0.113.10, port: 70000 }
  c: { address: 203.0.113.11, family: 5 }
ssh:
  authorizedKeys: [${KEY}]
  allowFrom: [10.0.0.0/33, 10.0.0.1/8, example.com, "2001:db8::1/64", 203.0.113.7, "2001:db8::/32"]
firewall:
  allow: [8443, 8443/sctp, 99999/tcp, { port: 9100/tcp, from: everywhere }]
docker:
  addressPools: [{ base: 172.29.0.0/16, size: 12 }, { base: 172.30.0.1, size: 24 }]
`;
    expect(await said(inventory)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 13 problems:

        inventory/prod.yaml:3:17  hosts.a.address  "http://203.0.113.10" is neither an address nor a host name
        inventory/prod.yaml:4:37  hosts.b.port  must be at most 65535
        inventory/prod.yaml:5:39  hosts.c.family  "5" is not known; known here: 4, 6
        inventory/prod.yaml:8:15  ssh.allowFrom[0]  "10.0.0.0/33" has an impossible prefix; it goes from /0 to /32
        inventory/prod.yaml:8:28  ssh.allowFrom[1]  "10.0.0.1/8" names a host inside a network; clear the bits after /8
        inventory/prod.yaml:8:40  ssh.allowFrom[2]  "example.com" is no address or network; write it like 203.0.113.7 or 203.0.113.0/24
        inventory/prod.yaml:8:53  ssh.allowFrom[3]  "2001:db8::1/64" names a host inside a network; clear the bits after /64
        inventory/prod.yaml:10:11  firewall.allow[0]  expected text or a map, got a number
        inventory/prod.yaml:10:17  firewall.allow[1]  "8443/sctp" is no port; write it like 8443/tcp or 443/udp
        inventory/prod.yaml:10:28  firewall.allow[2]  ports go from 1 to 65535
        inventory/prod.yaml:10:63  firewall.allow[3].from  expected "any" or a list, got "everywhere"
        inventory/prod.yaml:12:47  docker.addressPools[0].size  is larger than the whole pool; at least 16
        inventory/prod.yaml:12:61  docker.addressPools[1].base  is one address; write a network like 172.29.0.0/16"
    `);
  });

  it('checks images, sizes, durations and enumerations', async () => {
    const inventory = `${MINIMAL.replace('acme/shop:1', 'Acme/Shop:1')}release: { healthTimeout: 30 seconds }
proxy: { clientMaxBodySize: plenty }
logs: { keep: 2w }
accessories:
  redis: { image: "redis:8", policy: allkeys-lur, maxmemory: 10 percent }
  queue: { type: rabbit, image: "rabbitmq:4" }
certificates: { directory: "http://ca.example.com", email: me }
`;
    expect(await said(inventory)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 9 problems:

        inventory/prod.yaml:7:17  services.web.image  "Acme/Shop:1" is no image reference; write it like ghcr.io/acme/shop:1.4.2 or name@sha256:…
        inventory/prod.yaml:10:27  release.healthTimeout  "30 seconds" is no duration; write it like 30s, 10m, 1h or 30d
        inventory/prod.yaml:11:29  proxy.clientMaxBodySize  "plenty" is no size; write it like 512mb or 2gb
        inventory/prod.yaml:12:15  logs.keep  "2w" is no number of days; write it like 30d
        inventory/prod.yaml:14:38  accessories.redis.policy  "allkeys-lur" is not known; did you mean "allkeys-lru"?
        inventory/prod.yaml:14:62  accessories.redis.maxmemory  "10 percent" is no size; write it like 512mb or 2gb
        inventory/prod.yaml:15:18  accessories.queue.type  "rabbit" is not known; known here: postgres, redis, container
        inventory/prod.yaml:16:28  certificates.directory  "http://ca.example.com" is no https URL
        inventory/prod.yaml:16:60  certificates.email  "me" is no e-mail address"
    `);
  });

  it('checks what a container may say', async () => {
    const inventory = MINIMAL.replace(
      'web: { image: "acme/shop:1" }',
      `web:
    image: acme/shop:1
    deploy: { replicas: 0, resources: { limits: { memory: lots, cpus: half } } }
    environment: { 1ST: a, OK: , NESTED: { a: b } }
    volumes: [./data:/data, "data"]
    stop_grace_period: 30
  worker:
    image: acme/shop:1
    environment: [TOKEN]
    command: 5`,
    );
    expect(await said(inventory)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 11 problems:

        inventory/prod.yaml:9:25  services.web.deploy.replicas  must be at least 1
        inventory/prod.yaml:9:59  services.web.deploy.resources.limits.memory  "lots" is no size; write it like 512m
        inventory/prod.yaml:9:71  services.web.deploy.resources.limits.cpus  "half" is no number of CPUs; write it like "0.5"
        inventory/prod.yaml:10:20  services.web.environment.1ST  a variable is letters, digits and underscores and begins with no digit
        inventory/prod.yaml:10:32  services.web.environment.OK  has no value; expected text, a number or true or false
        inventory/prod.yaml:10:34  services.web.environment.NESTED  expected text, a number or true or false, got a map
        inventory/prod.yaml:11:15  services.web.volumes[0]  write name:/path/in/container or /path/on/host:/path/in/container, with :ro at the end if it is read-only
        inventory/prod.yaml:11:29  services.web.volumes[1]  write name:/path/in/container or /path/on/host:/path/in/container, with :ro at the end if it is read-only
        inventory/prod.yaml:12:24  services.web.stop_grace_period  expected text, got a number; put it in quotes
        inventory/prod.yaml:15:19  services.worker.environment[0]  write NAME=value; to take a secret from the .env file, NAME=\${NAME}
        inventory/prod.yaml:16:14  services.worker.command  expected text or a list, got a number"
    `);
  });
});

describe('relations', () => {
  it('refuses one machine under two names', async () => {
    expect(await said(MINIMAL.replace('ssh:', '  two: { address: 203.0.113.10 }\nssh:'))).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:4:19  hosts.two.address  is the same machine as hosts.vps"
    `);
  });

  it('refuses two routes for one domain, however it is spelt', async () => {
    const routes = `${MINIMAL}  Shop.Example.com.: web:3000\n  shop.example.com: web:3001\n`;
    expect(await said(routes)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 2 problems:

        inventory/prod.yaml:10:3  routes["Shop.Example.com."]  is the same domain as "shop.example.com"; a domain has one route
        inventory/prod.yaml:11:3  routes["shop.example.com"]  is declared twice; the first is on line 9"
    `);
  });

  it('checks domains and where routes lead', async () => {
    const inventory = `${MINIMAL}  https://a.example.com: web:3000
  "*.example.com": web:3000
  localhost: web:3000
  203.0.113.10: web:3000
  under_score.example.com: web:3000
  b.example.com: api:3000
  c.example.com: redis:6379
  d.example.com: web
  e.example.com: web:99999
  f.example.com: [{ to: web:3000 }, { path: /, to: web:3001 }, { path: api, to: web:3000 }]
accessories:
  redis: { image: "redis:8" }
`;
    expect(await said(inventory)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 11 problems:

        inventory/prod.yaml:10:3  routes["https://a.example.com"]  write the bare domain, without scheme, port or path
        inventory/prod.yaml:11:3  routes["*.example.com"]  wildcards need a DNS challenge, which Slipway cannot answer; name each domain
        inventory/prod.yaml:12:3  routes.localhost  is a single label; a public domain has a dot in it
        inventory/prod.yaml:13:3  routes["203.0.113.10"]  routes are for domains; a certificate cannot be had for an address
        inventory/prod.yaml:14:3  routes["under_score.example.com"]  is no valid domain name
        inventory/prod.yaml:15:18  routes["b.example.com"]  leads to the unknown service "api"; declared: web
        inventory/prod.yaml:16:18  routes["c.example.com"]  leads to the accessory "redis"; accessories are not public, declare it under services
        inventory/prod.yaml:17:18  routes["d.example.com"]  "web" is no target; write service:port, like web:3000
        inventory/prod.yaml:18:18  routes["e.example.com"]  has an impossible port; ports go from 1 to 65535
        inventory/prod.yaml:19:37  routes["f.example.com"][1]  leads "/" a second time
        inventory/prod.yaml:19:72  routes["f.example.com"][2].path  "api" is no path; it begins with a slash"
    `);
  });

  it('refuses two things of one name', async () => {
    const inventory = `${MINIMAL}accessories:
  web: { image: "acme/other:1" }
  postgres: { image: "postgres:17" }
  pgbouncer: { image: "acme/pool:1" }
`;
    expect(await said(inventory, 'POSTGRES_PASSWORD=abcdefgh\n')).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 2 problems:

        inventory/prod.yaml:11:3  accessories.web  has the name of a service; both would answer to it on the network of the app
        inventory/prod.yaml:13:3  accessories.pgbouncer  has the name of the PgBouncer in front of accessories.postgres; rename it, or set its pgbouncer to false"
    `);
  });

  it('refuses to run side by side what cannot run twice, or to have its requests wait in vain', async () => {
    const inventory = MINIMAL.replace(
      'web: { image: "acme/shop:1" }',
      'web: { image: "acme/shop:1", stop_grace_period: 1m, deploy: { replicas: 2, update_config: { order: stop-first } } }',
    );
    expect(await said(`${inventory}\nrelease: { hold: 50s }\n`)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 3 problems:

        inventory/prod.yaml:7:51  services.web.stop_grace_period  leaves a new container no time to start: requests wait for 50 s in all (release.hold)
        inventory/prod.yaml:7:75  services.web.deploy.replicas  is 2, and \`update_config.order: stop-first\` says that the service cannot run twice; leave out one of the two
        inventory/prod.yaml:11:18  release.hold  "50s" is too long; nginx waits for at most 60s: name 45s or less"
    `);
    expect(await said(`${inventory}\nrelease: { hold: 20s }\n`)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 2 problems:

        inventory/prod.yaml:7:51  services.web.stop_grace_period  leaves a new container no time to start: requests wait for 20 s in all (release.hold)
        inventory/prod.yaml:7:75  services.web.deploy.replicas  is 2, and \`update_config.order: stop-first\` says that the service cannot run twice; leave out one of the two"
    `);
  });

  it('refuses a health path that nobody could ask, and an order that cannot be', async () => {
    const inventory = MINIMAL.replace(
      'web: { image: "acme/shop:1" }',
      `web: { image: "acme/shop:1", depends_on: [worker] }
  worker: { image: "acme/shop:1", depends_on: { web: { condition: service_started } }, healthcheck: { path: /up } }
  cron: { image: "acme/shop:1", depends_on: [ghost] }`,
    );
    expect(await said(inventory)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 3 problems:

        inventory/prod.yaml:7:32  services.web.depends_on  goes in a circle: web → worker → web
        inventory/prod.yaml:8:109  services.worker.healthcheck.path  is asked at the port of a route, and no route leads to this service; use \`test\` instead
        inventory/prod.yaml:9:33  services.cron.depends_on  names "ghost", which is neither a service nor an accessory"
    `);
  });
});

describe('secrets', () => {
  const secretive = MINIMAL.replace(
    'acme/shop:1" }',
    'acme/shop:1", environment: { A: "${TOKEN}", B: "x${OTHER:?ask ana}", C: "${TOKEN}/${DEFAULTED:-d}" } }',
  );

  it('keeps secrets out of command lines', async () => {
    const command = 'command: "serve --key ${TOKEN}", healthcheck: { test: [CMD, probe, "${TOKEN}"] }';
    const inventory = MINIMAL.replace('acme/shop:1" }', `acme/shop:1", ${command} }`);
    expect(await said(inventory, 'TOKEN=abcdefgh\n')).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 2 problems:

        inventory/prod.yaml:7:41  services.web.command  puts \${TOKEN} into a command line, which everybody on the host can read; give it in \`environment\`
        inventory/prod.yaml:7:99  services.web.healthcheck.test[2]  puts \${TOKEN} into a command line, which everybody on the host can read; give it in \`environment\`"
    `);
  });

  it('lists every missing secret and where it is needed', async () => {
    expect(await said(secretive, 'UNRELATED=1234567\n')).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 2 problems:

        inventory/prod.yaml:7:50  services.web.environment.A  needs \${TOKEN}, which is not set in .env.prod (also needed at services.web.environment.C)
        inventory/prod.yaml:7:65  services.web.environment.B  needs \${OTHER}, which is not set in .env.prod: ask ana"
    `);
  });

  it('says so where there is no file at all, and for a password nobody wrote', async () => {
    const inventory = `${MINIMAL}accessories: { postgres: { image: "postgres:17" } }\n`;
    expect(await said(inventory)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:10:16  accessories.postgres.password  needs \${POSTGRES_PASSWORD}, which is not set; there is no .env.prod"
    `);
  });

  it('refuses what dotenv would misread', async () => {
    const env = `TOKEN=abc#def
OTHER="fine # here" # and here
OTHER=again
  not an assignment
BAD-NAME=abcdef
export MULTI="one
two"
UNCLOSED="abc
`;
    expect(await said(secretive, env)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 6 problems:

        .env.prod:1:1  TOKEN  has an unquoted #, which would begin a comment and cut the value short; put the value in quotes
        .env.prod:1:1  TOKEN  is shorter than 4 characters: too short to be kept out of what is shown; if it is no secret, write it into the inventory
        .env.prod:3:1  OTHER  is set twice; the first is on line 2
        .env.prod:4:1  is no NAME=value line
        .env.prod:5:1  "BAD-NAME" is no name; use letters, digits and underscores
        .env.prod:8:1  UNCLOSED  begins with " and does not end with it"
    `);
  });

  it('refuses a secret that is too short to be redacted', async () => {
    expect(await said(secretive, 'TOKEN=abc\nOTHER=abcdef\n')).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        .env.prod:1:1  TOKEN  is shorter than 4 characters: too short to be kept out of what is shown; if it is no secret, write it into the inventory"
    `);
  });

  it('refuses a password that is no secret', async () => {
    const inventory = `${MINIMAL}accessories:
  postgres: { image: "postgres:17", password: hunter22 }
  redis: { image: "redis:8", password: "${'$'}{NONE:-hunter23}" }
`;
    const message = await said(inventory);
    expect(message).not.toMatch(/hunter2/);
    expect(message).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 2 problems:

        inventory/prod.yaml:11:47  accessories.postgres.password  is written into the inventory, where everyone sees it; put it into .env.prod and write \${NAME}
        inventory/prod.yaml:12:40  accessories.redis.password  is written into the inventory, where everyone sees it; put it into .env.prod and write \${NAME}"
    `);
  });

  it('refuses a secret that would break the URL around it', async () => {
    const message = await said(
      secretive.replace('x${OTHER:?ask ana}', 'redis://:${OTHER}@redis'),
      'TOKEN=abcdef\nOTHER=p@ss/word\n',
    );
    expect(message).not.toContain('p@ss');
    expect(message).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:7:65  services.web.environment.B  puts \${OTHER} into a URL, where one of the characters @ / ? # % [ ] or a blank in it means something else; choose another value"
    `);
  });

  it('refuses shares of a canary that are none, that shrink, or that nobody watches', async () => {
    const release = (text: string) => said(`${MINIMAL}release: { ${text} }\n`);
    expect(await release('canary: [10, 100]')).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:10:25  release.canary[1]  must be at most 99"
    `);
    expect(await release('canary: [50, 10]')).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:10:12  release.canary  goes from 50 to 10; each step is larger than the one before"
    `);
    expect(await release('canary: [10, 10]')).toContain('goes from 10 to 10');
    expect(await release('canary: [2.5]')).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:10:21  release.canary[0]  expected a whole number, got a number"
    `);
    const single = MINIMAL.replace('acme/shop:1"', 'acme/shop:1", deploy: { update_config: { order: stop-first } }');
    expect(await said(`${single}release: { canary: [10] }\n`)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:10:12  release.canary  has two releases run side by side, and services.web cannot run twice (order: stop-first)"
    `);
    expect(await release('canary: [10], watch: 0s')).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:10:12  release.canary  is tried on some clients without being watched; give release.watch a time, such as 30s"
    `);
  });

  it('refuses a single dollar sign', async () => {
    const inventory = MINIMAL.replace('acme/shop:1" }', () => 'acme/shop:1", command: "echo $HOME $$HOME $(date)" }');
    expect(await said(inventory)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 2 problems:

        inventory/prod.yaml:7:41  services.web.command  has a single $; write \${HOME} for a secret, $$ for a dollar sign
        inventory/prod.yaml:7:41  services.web.command  has a single $; write $$ for a dollar sign"
    `);
  });

  it('never shows a value', async () => {
    const inventory = MINIMAL.replace('203.0.113.10', '"${TOKEN}/"').replace('web:3000', '"${TOKEN}"');
    const message = await said(inventory, 'TOKEN=canary-value-1\n');
    expect(message).not.toContain('canary-value-1');
    expect(message).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 2 problems:

        inventory/prod.yaml:3:19  hosts.vps.address  "•••••/" is neither an address nor a host name
        inventory/prod.yaml:9:21  routes["shop.example.com"]  "•••••" is no target; write service:port, like web:3000"
    `);
  });
});

describe('files', () => {
  it('refuses keys it cannot read', async () => {
    const inventory = MINIMAL.replace(`[${KEY}]`, '[keys/ci.pub, inventory/prod.yaml, not a key, "~/nowhere.pub"]')
      .replace('203.0.113.10', '203.0.113.10, identityFile: keys/id')
      .concat('certificates: { ca: inventory/prod.yaml }\n');
    expect(await said(inventory)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 6 problems:

        inventory/prod.yaml:3:47  hosts.vps.identityFile  cannot read the key "keys/id": there is no such file
        inventory/prod.yaml:5:20  ssh.authorizedKeys[0]  cannot read "keys/ci.pub": there is no such file
        inventory/prod.yaml:5:33  ssh.authorizedKeys[1]  finds no public key in "inventory/prod.yaml"; name the .pub file
        inventory/prod.yaml:5:54  ssh.authorizedKeys[2]  is no public key; it begins like "ssh-ed25519 AAAA" and is one line
        inventory/prod.yaml:5:65  ssh.authorizedKeys[3]  cannot read "~/nowhere.pub": there is no such file
        inventory/prod.yaml:10:21  certificates.ca  finds no certificate in "inventory/prod.yaml"; a PEM file has BEGIN CERTIFICATE in it"
    `);
  });

  it('refuses an RSA key that sshd would refuse', async () => {
    const file = join(scratch('keys'), 'rsa');
    execFileSync('ssh-keygen', ['-q', '-t', 'rsa', '-b', '1024', '-N', '', '-C', 'ana', '-f', file]);
    const key = readFileSync(`${file}.pub`, 'utf8').trim();
    expect(await said(MINIMAL.replace(KEY, key))).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:5:20  ssh.authorizedKeys[0]  is an RSA key of 1024 bits, and sshd refuses those below 2048; run: ssh-keygen -t ed25519"
    `);
    execFileSync('ssh-keygen', ['-q', '-t', 'rsa', '-b', '2048', '-N', '', '-C', 'ana', '-f', `${file}2`]);
    const wanted = MINIMAL.replace(`[${KEY}]`, `[${file}2.pub]\n  options: { RequiredRSASize: 3072 }`);
    expect(await said(wanted)).toContain('is an RSA key of 2048 bits, and sshd refuses those below 3072');
  });

  it('refuses an identity without its public half', async () => {
    const inventory = MINIMAL.replace(`  authorizedKeys: [${KEY}]\n`, '  user: deploy\n').replace(
      '203.0.113.10',
      '203.0.113.10, identityFile: keys/id',
    );
    expect(await refusal({ 'inventory/prod.yaml': inventory, 'keys/id': 'private' })).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:3:47  hosts.vps.identityFile  has no public key beside it, to let you in later; run: ssh-keygen -y -f keys/id > keys/id.pub"
    `);
  });

  it('sees a file of another ending', async () => {
    const error = await withProject({ 'inventory/prod.yml': MINIMAL }, (directory) =>
      loadEnvironment(directory, 'prod').catch((reason) => reason),
    );
    expect(error.hint).toBe('Rename inventory/prod.yml to prod.yaml.');
  });

  it('lists the environments there are', async () => {
    const files = { 'inventory/staging.yaml': MINIMAL, 'inventory/production.yaml': MINIMAL };
    expect(await refusal(files)).toMatchInlineSnapshot(
      `"There is no inventory/prod.yaml in <project>; environments: production, staging."`,
    );
    expect(await refusal({})).toMatchInlineSnapshot(
      `"There is no inventory/prod.yaml in <project>; there is no environment yet."`,
    );
  });
});

describe('YAML', () => {
  it('shows the line that is no YAML', async () => {
    expect(await said('app: shop\nhosts:\n\tvps: { address: 203.0.113.10 }\n')).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:3:1  is not valid YAML: Tabs are not allowed as indentation
          →vps: { address: 203.0.113.10 }
          ^"
    `);
    expect(await said('app: shop\nhosts: { vps: { address: 203.0.113.10 }\nssh: {}\n')).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:3:1  is not valid YAML: Flow map in block collection must be sufficiently indented and end with a }
          ssh: {}
          ^"
    `);
  });

  it('shows no line that looks secret', async () => {
    const message = await said('app: shop\nx: &a\n\tpassword: hunter22\n');
    expect(message).not.toContain('hunter22');
  });

  it('refuses what is no map, tags, and aliases that lead nowhere', async () => {
    expect(await said('- app: shop\n')).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:1:1  is no map; an inventory begins with \`app: <name>\`"
    `);
    expect(await said('')).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 3 problems:

        inventory/prod.yaml:1:1  app  is missing: the name of the app; everything on a host that belongs to it carries this name.
        inventory/prod.yaml:1:1  hosts  is missing: the machines, by a name of your choice.
        inventory/prod.yaml:1:1  ssh.authorizedKeys  is missing, and there is no ~/.ssh/id_ed25519.pub: without a public key nobody could log in later. Name one, or make one with: ssh-keygen -t ed25519"
    `);
    expect(await said(`${MINIMAL}x-a: !vault abc\n`)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:10:6  is not valid YAML: Unresolved tag: !vault
          x-a: !vault abc
               ^"
    `);
    expect(await said(`${MINIMAL}x-a: &a [*a]\n`)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:10:10  x-a[0]  the alias *a leads to itself or nowhere"
    `);
    expect(await said(`${MINIMAL}x-a: *b\n`)).toMatchInlineSnapshot(`
      "inventory/prod.yaml has 1 problem:

        inventory/prod.yaml:10:1  x-a  the alias *b leads to itself or nowhere"
    `);
  });

  it('stops where aliases multiply without end', async () => {
    const levels = Array.from({ length: 12 }, (_, index) => {
      const item = index === 0 ? 'x' : `*l${index - 1}`;
      return `x-${index}: &l${index} [${Array(10).fill(item).join(', ')}]`;
    });
    expect(await said(`${MINIMAL}${levels.join('\n')}\n`)).toContain('the file grows without end through its aliases');
  });
});
