import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { createConnection } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { DeployError } from '#core/errors';
import { CA_FILE, issue } from './authority.ts';
import type { Report } from './base.ts';
import { DOMAIN, publishRecords, SERVICES, ZONE_FILE } from './dns.ts';
import { equippedTree } from './equipped.ts';
import { runs } from './host.ts';
import { locked } from './lock.ts';
import { bootHost, dismissHost, makeHost } from './make.ts';
import { addressesOf, INTERNET_NUMBER, machineNameservers } from './network.ts';
import { AUTHORITIES, CACHE } from './places.ts';
import { findRecord } from './record.ts';
import { checkRequirements } from './requirements.ts';
import { INTERNET, refreshResolvers } from './resolvers.ts';
import { within, writeIn } from './tree.ts';

/** What stands for the internet, on a host of its own. */
export interface Internet {
  readonly address: string;
  readonly address6: string;
  /** The nameserver that knows the names under sandbox.test. */
  readonly dns: string;
  /** The ACME directory, served with a certificate from the sandbox's authority. */
  readonly acmeDirectory: string;
  /** The root that issued certificates chain to, as PEM; another one after each start of the CA. */
  readonly acmeRoots: () => Promise<string>;
  /** The sandbox's own authority, which hosts trust: a PEM file. */
  readonly caFile: string;
  /** The container registry, as image references name it; anyone in the sandbox may push. */
  readonly registry: string;
}

const RELEASE = 'debian-13';
const PACKAGES = ['pebble', 'docker-registry', 'dnsmasq-base'];

const PORTS = { dns: 53, registry: 443, acme: 14_000, acmeManagement: 15_000 } as const;

/** Where pushed images are kept, on this machine and in the internet host. */
const IMAGES = { here: `${CACHE}/registry`, there: '/var/lib/docker-registry' } as const;

const KEY = '/etc/sandbox/server.key';
const CERTIFICATE = '/etc/sandbox/server.crt';

async function internetTree(report: Report): Promise<string> {
  return await equippedTree({ name: INTERNET, release: RELEASE, packages: PACKAGES }, (message) =>
    report(`${message}: the host that stands for the internet`),
  );
}

const REGISTRY_CONFIG = `version: 0.1
log: { level: warn }
storage:
  filesystem: { rootdirectory: ${IMAGES.there} }
  delete: { enabled: true }
http:
  addr: ":${PORTS.registry}"
  tls: { certificate: ${CERTIFICATE}, key: ${KEY} }
`;

// The folder comes from this machine, where its owner has no name; root also may take port 443 and read the key.
const REGISTRY_UNIT = `[Service]
User=root
`;

// Nonces are refused now and then, as the protocol allows: a client has to cope.
const PEBBLE_UNIT = `[Unit]
Description=ACME certificate authority
After=sandbox-dns.service
Wants=sandbox-dns.service

[Service]
Environment=PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=20
ExecStart=/usr/bin/pebble -strict -config /etc/sandbox/pebble.json -dnsserver 127.0.0.1:${PORTS.dns}
Restart=on-failure

[Install]
WantedBy=multi-user.target
`;

const PEBBLE_CONFIG = {
  pebble: {
    listenAddress: `:${PORTS.acme}`,
    managementListenAddress: `:${PORTS.acmeManagement}`,
    certificate: CERTIFICATE,
    privateKey: KEY,
    httpPort: 80,
    tlsPort: 443,
    ocspResponderURL: '',
    externalAccountBindingRequired: false,
    retryAfter: { authz: 1, order: 1 },
    certificateValidityPeriod: 90 * 86_400,
  },
};

const DNS_UNIT = `[Unit]
Description=Nameserver for ${DOMAIN}
After=network.target

[Service]
ExecStart=/usr/sbin/dnsmasq --keep-in-foreground --conf-file=/etc/sandbox/dnsmasq.conf
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure

[Install]
WantedBy=multi-user.target
`;

function dnsConfig(upstream: readonly string[]): string {
  const forward = upstream.map((server) => `server=${server}`);
  return [
    ...['no-resolv', 'no-hosts', `addn-hosts=${ZONE_FILE}`, `local=/${DOMAIN}/`, ...forward],
    // Names change under running tests: nobody may remember an old answer.
    ...['local-ttl=0', 'no-negcache', 'cache-size=1000', ''],
  ].join('\n');
}

async function furnish(tree: string): Promise<void> {
  await writeIn(tree, '/etc/sandbox/dnsmasq.conf', dnsConfig(await machineNameservers()));
  await writeIn(tree, ZONE_FILE, '');
  await writeIn(tree, '/etc/sandbox/pebble.json', JSON.stringify(PEBBLE_CONFIG));
  await writeIn(tree, '/etc/docker/registry/config.yml', REGISTRY_CONFIG);
  await writeIn(tree, '/etc/systemd/system/docker-registry.service.d/sandbox.conf', REGISTRY_UNIT);
  await writeIn(tree, '/etc/systemd/system/sandbox-dns.service', DNS_UNIT);
  await writeIn(tree, '/etc/systemd/system/sandbox-acme.service', PEBBLE_UNIT);
  await issue(Object.values(SERVICES), `${tree}${KEY}`, `${tree}${CERTIFICATE}`);
  await within(tree, ['systemctl', 'enable', 'sandbox-dns', 'sandbox-acme', 'docker-registry']);
}

async function listens(address: string, port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = createConnection({ host: address, port });
    const settle = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1000, () => settle(false));
    socket.once('error', () => settle(false));
    socket.once('connect', () => settle(true));
  });
}

async function awaitServices(address: string): Promise<void> {
  const deadline = performance.now() + 15_000;
  for (const [service, port] of Object.entries(PORTS)) {
    while (!(await listens(address, port))) {
      if (performance.now() > deadline) {
        throw new DeployError('sandbox-failed', `The sandbox internet's ${service} does not answer on port ${port}.`, {
          hint: `Look at it with \`deploy sandbox ssh ${INTERNET} systemctl --failed\`.`,
        });
      }
      await sleep(50);
    }
  }
}

async function get(address: string, port: number, path: string): Promise<string> {
  const ca = await readFile(CA_FILE);
  return await new Promise((resolve, reject) => {
    const asked = request(
      { host: address, port, path, ca, servername: SERVICES.acme, timeout: 10_000 },
      (answer) => void text(answer).then(resolve, reject),
    );
    asked.once('timeout', () => asked.destroy(new Error('no answer within 10 s')));
    asked.once('error', reject);
    asked.end();
  });
}

function describe(): Internet {
  const { address, address6 } = addressesOf(INTERNET_NUMBER);
  return {
    ...{ address, address6, dns: address, caFile: CA_FILE, registry: SERVICES.registry },
    acmeDirectory: `https://${SERVICES.acme}:${PORTS.acme}/dir`,
    acmeRoots: async () => await get(address, PORTS.acmeManagement, '/roots/0'),
  };
}

/** Writes down the authorities of the internet that runs, its CA's present root included; their file. */
export async function publishAuthorities(): Promise<string> {
  const own = await readFile(CA_FILE, 'utf8');
  const roots = await describe().acmeRoots();
  await writeFile(AUTHORITIES, `${own.trimEnd()}\n${roots.trimEnd()}\n`, { mode: 0o644 });
  return AUTHORITIES;
}

/**
 * Starts what stands for the internet, or finds it running: DNS, an ACME CA and a container registry, which every
 * host of the sandbox then uses. Throws sandbox-unavailable, sandbox-failed.
 */
export async function internet(options: { readonly report?: Report } = {}): Promise<Internet> {
  if (await runs(INTERNET)) return describe();
  await checkRequirements();
  const tree = await internetTree(options.report ?? (() => undefined));
  return await locked(`host-${INTERNET}`, async () => {
    const there = await findRecord(INTERNET);
    if (there !== undefined && there.hostKeys.length > 0) {
      if (await runs(INTERNET)) return describe();
      await bootHost(there);
    } else {
      if (there !== undefined) await dismissHost(INTERNET);
      await mkdir(IMAGES.here, { recursive: true });
      await makeHost(
        { tree, release: RELEASE, varieties: [], user: 'root', password: undefined, prepared: false },
        { name: INTERNET, number: INTERNET_NUMBER, binds: [`${IMAGES.here}:${IMAGES.there}`], finish: furnish },
      );
    }
    await awaitServices(addressesOf(INTERNET_NUMBER).address);
    await Promise.all([publishRecords(), refreshResolvers(), publishAuthorities()]);
    return describe();
  });
}
