import type { Backups, Restored, Revived } from '#backup/engine';
import type { Scratch } from '#backup/scratch';
import { asDeployError } from '#core/errors';
import { formatSeconds } from '#core/units';
import type { DrillCheck, Source } from '#protocol/backup';
import { startContainer } from '#release/containers';
import type { Door } from '#release/door';
import { gate } from '#release/gate';
import { type ReleaseRecord, readRecord } from '#release/record';
import { projectOf, readSlots } from '#release/slots';
import type { Host } from '#resources/resource';
import { type Guest, guestsOf, putUp } from './guests.ts';

/** What was restored of a source, and is served. */
export interface Alive {
  readonly source: Source;
  readonly restored: Restored;
  readonly revived: Revived;
}

const NAME = 'the app on it';

/** How much longer than a release the app may take: it has to give way to everything else on the host. */
const PATIENCE = 2;

const skipped = (found: string): DrillCheck => ({ name: NAME, result: 'skipped', found, duration: 0 });

/** Why there is nothing that the app could be booted on; undefined where there is. */
function missing({ settings }: Backups, alive: readonly Alive[]): string | undefined {
  const databases = settings.sources.filter(({ type }) => type !== 'redis' && type !== 'volume');
  const absent = databases.filter(({ name }) => !alive.some(({ source }) => source.name === name));
  if (absent.length > 0) return `${absent.map(({ name }) => name).join(' and ')} was not restored`;
  return undefined;
}

/** Puts restored data where the app looks for it. */
async function admit(host: Host, { source, revived }: Alive, network: string, guests: readonly Guest[]) {
  const container = 'container' in source ? source.container : source.name;
  const original = guests.find(({ name }) => name === container);
  const aliases = [...new Set([source.name, container, ...(original?.aliases ?? [])])];
  // What has no network at all can have none beside it.
  await host.run(['docker', 'network', 'disconnect', '--force', 'none', revived.container]);
  const named = aliases.flatMap((alias) => ['--alias', alias]);
  await host.must(['docker', 'network', 'connect', ...named, network, revived.container]);
}

/** The doors of a release, each at the one replica that was put up. */
function doorsAt({ props }: ReleaseRecord, addresses: ReadonlyMap<string, string>): readonly Door[] {
  return props.gates.flatMap(({ service, port, path, domain, route }): readonly Door[] => {
    const address = addresses.get(service);
    return address === undefined ? [] : [{ service, addresses: [address], port, path, domain, route }];
  });
}

async function boot(backups: Backups, alive: readonly Alive[], scratch: Scratch): Promise<DrillCheck> {
  const { host, settings } = backups;
  const { app } = settings;
  const slots = await readSlots(app);
  const occupant = slots.live === undefined ? undefined : slots[slots.live];
  const record = occupant === undefined ? undefined : await readRecord(app, occupant.release);
  if (slots.live === undefined || record === undefined) return skipped('no release of the app is live on this host');
  const reason = missing(backups, alive);
  if (reason !== undefined) return skipped(reason);
  const network = `slipway-drill-${scratch.id}`.toLowerCase();
  await host.must(['docker', 'network', 'create', '--internal', ...scratch.labels, network]);
  const guests = await guestsOf(host, app);
  const restored = new Set(alive.flatMap(({ source }) => ('container' in source ? [source.container] : [])));
  const volumes = new Map(
    alive.flatMap(({ source, restored: { data } }) => (source.type === 'volume' ? [[source.volume, data]] : [])),
  );
  for (const one of alive) if (one.source.type !== 'volume') await admit(host, one, network, guests);
  const stage = { host, network, scratch, volumes };
  const beside = guests.filter(
    ({ name, project }) => project !== undefined && !restored.has(name) && !isOfRelease(app, project),
  );
  for (const guest of beside) await startContainer(host, (await putUp(stage, guest)).id);
  const slot = projectOf(app, slots.live);
  const replicas = guests.filter(({ project, service }) => project === slot && service.endsWith('.1'));
  const addresses = new Map<string, string>();
  for (const guest of replicas) {
    const { id, address } = await putUp(stage, guest);
    await startContainer(host, id);
    addresses.set(guest.service.replace(/\.\d+$/, ''), await address());
  }
  const doors = doorsAt(record, addresses);
  if (doors.length === 0) return skipped('the live release has no route, so there is nothing to ask');
  const began = performance.now();
  await gate(host, network, doors, record.props.healthTimeout * PATIENCE);
  const took = formatSeconds((performance.now() - began) / 1000);
  const asked = doors.map(({ service, path }) => `${service} at ${path ?? 'its port'}`).join(', ');
  const empty = beside.map(({ name }) => name);
  const besides = empty.length === 0 ? '' : `; without data beside it: ${empty.join(', ')}`;
  return {
    name: NAME,
    result: 'passed',
    found: `${record.tag} answers (${asked}) after ${took}${besides}`,
    duration: 0,
  };
}

function isOfRelease(app: string, project: string): boolean {
  return (['blue', 'green', 'workers', 'command'] as const).some((part) => projectOf(app, part) === project);
}

/**
 * Boots the release that serves now, as it is configured, on what was restored: in a network that leads nowhere, without
 * any volume of production, without its release command. What it needs besides stands beside it, configured as in
 * production and empty.
 */
export async function bootApp(backups: Backups, alive: readonly Alive[], scratch: Scratch): Promise<DrillCheck> {
  const began = performance.now();
  const check = await boot(backups, alive, scratch).catch((thrown: unknown): DrillCheck => {
    const found = asDeployError(thrown).message.replace('The new release', 'The app on the restored data');
    return { name: NAME, result: 'failed', found, duration: 0 };
  });
  return { ...check, duration: (performance.now() - began) / 1000 };
}
