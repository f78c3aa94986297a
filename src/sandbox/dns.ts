import { readFile, rename, writeFile } from 'node:fs/promises';
import { DeployError } from '#core/errors';
import { run } from './enter.ts';
import { runs } from './host.ts';
import { locked } from './lock.ts';
import { addressesOf } from './network.ts';
import { hostTree, STATE } from './places.ts';
import { type HostRecord, readRecords } from './record.ts';
import { INTERNET } from './resolvers.ts';
import { writeIn } from './tree.ts';

/** The domain that the sandbox's DNS answers for; every other name goes to this machine's own nameservers. */
export const DOMAIN = 'sandbox.test';

/** The internet's own names. */
export const SERVICES = { registry: `registry.${DOMAIN}`, acme: `acme.${DOMAIN}` } as const;

/** Where the internet host's nameserver reads its names from, in the form of hosts(5). */
export const ZONE_FILE = '/etc/sandbox/hosts';

const RECORDS = `${STATE}/dns.json`;

/** The addresses of one name; none at all means that there is no such name. */
export interface DnsRecord {
  readonly a?: readonly string[];
  readonly aaaa?: readonly string[];
}

type Zone = Readonly<Record<string, DnsRecord>>;

async function readZone(): Promise<Zone> {
  return JSON.parse(await readFile(RECORDS, 'utf8').catch(() => '{}')) as Zone;
}

function namesOf({ name }: HostRecord): readonly string[] {
  return name === INTERNET ? [`${INTERNET}.${DOMAIN}`, ...Object.values(SERVICES)] : [`${name}.${DOMAIN}`];
}

/** The zone as hosts(5) lines: every host under its own name, and what was set, which wins. */
export function zoneText(records: readonly HostRecord[], set: Zone): string {
  const lines: string[] = [];
  for (const record of records) {
    const { address, address6 } = addressesOf(record.number);
    for (const name of namesOf(record))
      if (set[name] === undefined) lines.push(`${address} ${name}`, `${address6} ${name}`);
  }
  for (const [name, { a = [], aaaa = [] }] of Object.entries(set)) {
    lines.push(...[...a, ...aaaa].map((address) => `${address} ${name}`));
  }
  return lines.map((line) => `${line}\n`).join('');
}

/** Lets the sandbox's nameserver answer for the hosts that stand now and the records that are set now. */
export async function publishRecords(): Promise<void> {
  if (!(await runs(INTERNET))) return;
  await locked('dns', async () => {
    await writeIn(hostTree(INTERNET), ZONE_FILE, zoneText(await readRecords(), await readZone()));
    await run(INTERNET, ['systemctl', 'reload', 'sandbox-dns']);
  });
}

/**
 * Sets the addresses of a name under sandbox.test, in place of those it had; `{}` makes the name unknown. It outlives
 * the internet host, not the sandbox. Throws usage for a name elsewhere.
 */
export async function setRecord(name: string, record: DnsRecord): Promise<void> {
  if (!name.endsWith(`.${DOMAIN}`)) {
    throw new DeployError('usage', `The sandbox's DNS does not answer for ${name}.`, {
      hint: `Use a name under ${DOMAIN}, such as shop.${DOMAIN}.`,
    });
  }
  await locked('dns', async () => {
    await writeFile(`${RECORDS}.new`, JSON.stringify({ ...(await readZone()), [name]: record }));
    await rename(`${RECORDS}.new`, RECORDS);
  });
  await publishRecords();
}
