import { statfs } from 'node:fs/promises';
import { readSettings } from '#backup/settings';
import { parseCertificate } from '#certificates/stored';
import type { EventBody } from '#protocol/event';
import type { RunningContainer } from '#protocol/running';
import { readWarm } from '#release/list';
import { canaryOf, isOver, isPaused, readRun } from '#release/run';
import { readSlots, type Slot } from '#release/slots';
import { certificatePaths } from '#resources/certificate-terms';
import type { Host } from '#resources/resource';
import { type AppContainer, containersOfApp } from './app-containers.ts';
import { lockHolder } from './lock.ts';
import { readMaintenance } from './maintenance.ts';
import { ownedBy } from './ownership.ts';

type Status = Extract<EventBody, { type: 'status.read' }>;

interface Inspected {
  readonly RestartCount: number;
  readonly State: { readonly StartedAt: string; readonly Health?: { readonly Status: string } };
}

async function shown(host: Host, container: AppContainer): Promise<RunningContainer> {
  const { id, name, service, part, state, image } = container;
  const details = await host.docker<Inspected>(`/containers/${id}/json`);
  const health = details?.State.Health?.Status;
  return {
    name,
    service,
    part,
    state,
    image,
    restarts: details?.RestartCount ?? 0,
    ...(health === undefined || health === 'none' ? {} : { health }),
    ...(details === undefined ? {} : { startedAt: details.State.StartedAt }),
  };
}

async function certificatesOf(host: Host, app: string): Promise<Status['certificates']> {
  const domains = [...(await ownedBy(app)).values()]
    .filter(({ kind }) => kind === 'certificate')
    .map(({ footprint }) => String(footprint['domain']));
  const read = await Promise.all(
    domains.map(async (domain) => {
      const facts = parseCertificate((await host.readFile(certificatePaths(domain).chain)) ?? '');
      return facts === undefined ? [] : [{ domain, ends: new Date(facts.notAfter).toISOString() }];
    }),
  );
  return read.flat();
}

/** What is wrong with an app's backups; undefined where none are declared. */
async function backupsOf(host: Host, app: string): Promise<Status['backups']> {
  const settings = await readSettings(app);
  if (settings === undefined) return undefined;
  const [{ healthOf }, { oncePerRepository }] = await Promise.all([
    import('#host/backup-look'),
    import('#backup/alarms'),
  ]);
  const { alarms } = await healthOf(host, app);
  return { alarms: oncePerRepository(alarms, settings.environment).map(({ message }) => message) };
}

/** How an app stands on this host: what serves, how its containers are, and what a person on call asks next. */
export async function readStatus(host: Host, app: string): Promise<Status> {
  const [slots, warm, run, containers, maintenance, holder, certificates, backups, disk] = await Promise.all([
    readSlots(app),
    readWarm(host, app),
    readRun(app),
    containersOfApp(host, app).then((all) => Promise.all(all.map((container) => shown(host, container)))),
    readMaintenance(app),
    lockHolder(),
    certificatesOf(host, app),
    backupsOf(host, app),
    statfs('/var'),
  ]);
  const occupied = (slot: Slot) => {
    const occupant = slots[slot];
    return occupant === undefined ? undefined : { release: occupant.release, tag: occupant.tag, slot };
  };
  const live = slots.live === undefined ? undefined : occupied(slots.live);
  const other = slots.live === undefined ? undefined : occupied(slots.live === 'blue' ? 'green' : 'blue');
  // While somebody is at work the release is on its way, not left on it.
  const interrupted = run === undefined || isOver(run) || isPaused(run) || holder !== undefined ? undefined : run;
  const canary = run === undefined ? undefined : canaryOf(run);
  return {
    type: 'status.read',
    app,
    ...(live === undefined ? {} : { live }),
    ...(run === undefined || canary === undefined
      ? {}
      : { canary: { release: run.release, tag: run.tag, slot: run.slot, ...canary } }),
    ...(other === undefined || other.release !== warm ? {} : { warm: other }),
    ...(interrupted === undefined
      ? {}
      : { interrupted: { release: interrupted.release, tag: interrupted.tag, state: interrupted.state } }),
    containers,
    ...(maintenance === undefined ? {} : { maintenance }),
    ...(holder === undefined
      ? {}
      : { busy: { operation: holder.operation, verb: holder.verb, by: holder.by, since: holder.since } }),
    certificates,
    ...(backups === undefined ? {} : { backups }),
    disk: { freeBytes: disk.bavail * disk.bsize, totalBytes: disk.blocks * disk.bsize },
  };
}
