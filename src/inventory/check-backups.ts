import { parseDuration } from '#core/units';
import type { Fault } from '#inventory/check';
import { valueAt } from '#inventory/issues';
import { nearest } from '#inventory/problems';

const entriesOf = (value: unknown): [string, unknown][] =>
  value !== null && typeof value === 'object' && !Array.isArray(value) ? Object.entries(value) : [];

const field = (value: unknown, ...keys: readonly string[]): unknown => valueAt(value, keys);

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** A fault in the data is often found the day after. */
const SHORTEST_KEEP = 86_400;

const S3_NEEDS = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'];
const REST_NEEDS = ['RESTIC_REST_USERNAME', 'RESTIC_REST_PASSWORD'];

/** What a container mounts: names of volumes, and paths of the host. */
function mountsOf(container: unknown): readonly string[] {
  return listOf(field(container, 'volumes')).flatMap((entry) => {
    const source = typeof entry === 'string' ? entry.split(':')[0] : field(entry, 'source');
    return typeof source === 'string' && source !== '' ? [source] : [];
  });
}

/** Everything that services and accessories mount, each once. */
function mounted(inventory: unknown): readonly string[] {
  const containers = ['services', 'accessories'].flatMap((section) => entriesOf(field(inventory, section)));
  return [...new Set(containers.flatMap(([, container]) => mountsOf(container)))];
}

function suggestion(word: string, known: readonly string[], none: string): string {
  const near = nearest(word, known);
  if (near !== undefined) return `; did you mean "${near}"?`;
  return known.length === 0 ? `; ${none}` : `; there are: ${known.join(', ')}`;
}

/** The PostgreSQL accessories that are backed up. */
function databases(inventory: unknown): readonly string[] {
  return entriesOf(field(inventory, 'accessories'))
    .filter(([, accessory]) => field(accessory, 'type') === 'postgres' && field(accessory, 'backup') !== false)
    .map(([name]) => name);
}

/** The accessories with a backup of their own. */
function backedUp(inventory: unknown): readonly string[] {
  return entriesOf(field(inventory, 'accessories'))
    .filter(([, accessory]) => {
      const [type, backup] = [field(accessory, 'type'), field(accessory, 'backup')];
      return type === 'postgres' || type === 'redis' ? backup !== false : backup !== undefined;
    })
    .map(([name]) => name);
}

/** What a volume is called among an app's sources. */
export function sourceNameOf(volume: string): string {
  return volume.startsWith('/') ? volume.slice(1).replaceAll('/', '-') : volume;
}

/** Where image after image of MariaDB and MySQL keeps its data. */
const SERVER_DATA = '/var/lib/mysql';

/** The volumes and paths that hold a database server's data, and whose: files copied one by one make no database. */
function serverData(inventory: unknown): readonly (readonly [place: string, accessory: string])[] {
  return entriesOf(field(inventory, 'accessories')).flatMap(([name, accessory]): [string, string][] => {
    const type = field(accessory, 'type');
    if (type === 'postgres' || type === 'redis') {
      const declared = field(accessory, 'storage');
      return [[typeof declared === 'string' ? declared : `/srv/${String(field(inventory, 'app'))}/${name}`, name]];
    }
    if (field(accessory, 'backup') === undefined) return [];
    const mounts = listOf(field(accessory, 'volumes')).flatMap((entry) => {
      const [source, target] =
        typeof entry === 'string' ? entry.split(':') : [field(entry, 'source'), field(entry, 'target')];
      return typeof source === 'string' && target === SERVER_DATA ? [source] : [];
    });
    return mounts.map((source) => [source, name]);
  });
}

function overlap(one: string, other: string): boolean {
  const [first, second] = [one, other].map((path) => `${path.replace(/\/+$/, '')}/`);
  return first?.startsWith(second ?? '') === true || second?.startsWith(first ?? '') === true;
}

function checkVolumes(inventory: unknown, fault: Fault): void {
  const known = mounted(inventory);
  const taken = new Map(backedUp(inventory).map((name) => [name, `accessories.${name}`]));
  for (const [volume] of entriesOf(field(inventory, 'backups', 'volumes'))) {
    const path = ['backups', 'volumes', volume];
    if (!known.includes(volume)) {
      fault(path, `is mounted by no service and no accessory${suggestion(volume, known, 'none mounts any')}`, 'key');
    }
    const [, server] = serverData(inventory).find(([place]) => overlap(place, volume)) ?? [];
    if (server !== undefined) {
      const message = `holds the data of accessories.${server}, which its own tools copy; files copied one by one make no database`;
      fault(path, message, 'key');
    }
    const name = sourceNameOf(volume);
    const other = taken.get(name);
    if (other !== undefined) fault(path, `would be called "${name}" in the backups, as ${other} is`, 'key');
    taken.set(name, `backups.volumes.${volume}`);
  }
}

function checkAssertions(inventory: unknown, fault: Fault): void {
  const declared = field(inventory, 'drills', 'assert');
  const known = databases(inventory);
  const path = ['drills', 'assert'];
  if (Array.isArray(declared) && declared.length > 0) {
    if (known.length === 0) fault(path, 'has no PostgreSQL accessory to ask that is backed up');
    if (known.length > 1) {
      fault(path, `does not say which database it asks; write it by accessory: { ${known.join(': […], ')}: […] }`);
    }
    return;
  }
  for (const [name] of entriesOf(declared)) {
    if (known.includes(name)) continue;
    const message = `is no PostgreSQL accessory that is backed up${suggestion(name, known, 'none is declared')}`;
    fault([...path, name], message, 'key');
  }
}

function checkCredentials(repository: string, credentials: readonly string[], fault: Fault): void {
  const path = ['backups', 'credentials'];
  const known = repository.startsWith('s3:')
    ? [...S3_NEEDS, 'AWS_SESSION_TOKEN', 'AWS_DEFAULT_REGION', 'AWS_REGION']
    : repository.startsWith('rest:')
      ? REST_NEEDS
      : [];
  for (const name of credentials) {
    if (known.includes(name)) continue;
    const none = 'an SFTP server takes a key, a folder nothing';
    fault([...path, name], `is no credential of this repository${suggestion(name, known, none)}`, 'key');
  }
  const needed = repository.startsWith('s3:') ? S3_NEEDS : credentials.length > 0 ? REST_NEEDS : [];
  const missing = known.length === 0 ? [] : needed.filter((name) => !credentials.includes(name));
  if (missing.length > 0) fault(path, `lacks ${missing.join(' and ')}`);
}

function checkRepositories(inventory: unknown, fault: Fault): void {
  const repository = field(inventory, 'backups', 'repository');
  const local = field(inventory, 'backups', 'local');
  if (repository === undefined && local === false) {
    fault(['backups', 'local'], 'leaves no place for copies; name a `repository`', 'value');
  }
  if (typeof repository !== 'string') return;
  const folder = typeof local === 'string' ? local : `/var/backups/slipway/${String(field(inventory, 'app'))}`;
  if (local !== false && repository.replace(/\/+$/, '') === folder.replace(/\/+$/, '')) {
    fault(['backups', 'repository'], 'is the folder of the local copies too; it is meant to be off the host');
  }
  const credentials = entriesOf(field(inventory, 'backups', 'credentials')).map(([name]) => name);
  checkCredentials(repository, credentials, fault);
  const isSftp = repository.startsWith('sftp:');
  for (const key of ['hostKey', 'identityFile']) {
    if (isSftp || field(inventory, 'backups', key) === undefined) continue;
    fault(['backups', key], 'is for sftp only, and the repository is not', 'key');
  }
  if (field(inventory, 'backups', 'ca') !== undefined && !/^(?:s3|rest):https:/.test(repository)) {
    fault(['backups', 'ca'], 'is for https only, and the repository is not', 'key');
  }
}

/** Checks what backups and drills say of what is to be copied, and where to. */
export function checkBackups(inventory: unknown, fault: Fault): void {
  if (field(inventory, 'backups') === undefined) {
    if (field(inventory, 'drills') !== undefined) {
      fault(['drills'], 'has nothing to restore: declare `backups`', 'key');
    }
    return;
  }
  checkVolumes(inventory, fault);
  checkAssertions(inventory, fault);
  checkRepositories(inventory, fault);
  const keep = field(inventory, 'backups', 'keep');
  const seconds = typeof keep === 'string' ? parseDuration(keep) : undefined;
  if (seconds !== undefined && seconds < SHORTEST_KEEP) {
    fault(['backups', 'keep'], 'is less than a day; what is wrong with data is often found the day after');
  }
}

/** What is declared of backups and yet likely to be regretted. */
export function backupRegrets(inventory: unknown): readonly string[] {
  const backups = field(inventory, 'backups');
  if (backups === undefined) return [];
  const volumes = entriesOf(field(backups, 'volumes')).map(([name]) => name);
  // A server that is dumped by its own tools needs no copy of its files.
  const dumped = backedUp(inventory).flatMap((name) => mountsOf(field(inventory, 'accessories', name)));
  const forgotten = mounted(inventory).filter(
    (source) => !source.startsWith('/') && !volumes.includes(source) && !dumped.includes(source),
  );
  return [
    ...(field(backups, 'repository') === undefined
      ? ['backups names no repository off the host: what takes the host takes all copies of its data too']
      : []),
    ...(backedUp(inventory).length + volumes.length === 0 ? ['backups is declared, and nothing is backed up'] : []),
    ...forgotten.map((name) => `the volume ${name} is in no backup; name it in backups.volumes where it matters`),
  ];
}
