import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DeployError } from '#core/errors';
import type { Source } from '#protocol/backup';
import type { Host } from '#resources/resource';

/** Where the data of a source is on the host, and what holds it. */
export interface Seat {
  readonly path: string;
  /** The containers that have it open, and its own one even where it has given up. */
  readonly containers: readonly string[];
}

interface Listed {
  readonly Names: readonly string[];
  readonly State: string;
  readonly Mounts?: readonly { readonly Source?: string; readonly Destination?: string }[];
}

/** Where servers keep their data that are dumped by their own tools. */
const SERVER_DATA = '/var/lib/mysql';

async function listed(host: Host): Promise<readonly Listed[]> {
  return (await host.docker<Listed[]>('/containers/json?all=true')) ?? [];
}

const nameOf = ({ Names }: Listed): string => (Names[0] ?? '').replace(/^\//, '');

async function usersOf(host: Host, path: string, own: string | undefined): Promise<readonly string[]> {
  // What was stopped on purpose, such as an older release, must not be started by it.
  const isUsing = (one: Listed) => one.State === 'running' || one.State === 'restarting' || nameOf(one) === own;
  const using = (await listed(host)).filter(({ Mounts = [] }) => Mounts.some(({ Source }) => Source === path));
  return using.filter(isUsing).map(nameOf);
}

async function pathOf(host: Host, source: Source): Promise<string | undefined> {
  switch (source.type) {
    case 'postgres':
    case 'redis':
      return source.storage;
    case 'mariadb':
    case 'mysql': {
      const own = (await listed(host)).find((one) => nameOf(one) === source.container);
      return own?.Mounts?.find(({ Destination }) => Destination === SERVER_DATA)?.Source;
    }
    case 'volume': {
      if (source.volume.startsWith('/')) return source.volume;
      return (await host.docker<{ Mountpoint: string }>(`/volumes/${source.volume}`))?.Mountpoint;
    }
  }
}

/** Where the data of a source is; rejects with `restore-refused` where it cannot be put in its place by a rename. */
export async function seatOf(host: Host, source: Source): Promise<Seat> {
  const path = await pathOf(host, source);
  const refuse = (message: string): DeployError =>
    new DeployError('restore-refused', message, {
      hint: 'Restore it with `--into scratch`, and bring it over by hand.',
    });
  if (path === undefined) throw refuse(`Where ${source.name} keeps its data on this host is not known.`);
  const [own, parent] = await Promise.all([
    stat(path).catch(() => undefined),
    stat(dirname(path)).catch(() => undefined),
  ]);
  if (parent === undefined) throw refuse(`${dirname(path)} is not there.`);
  if (own !== undefined && own.dev !== parent.dev) throw refuse(`${path} is a file system of its own.`);
  return { path, containers: await usersOf(host, path, 'container' in source ? source.container : undefined) };
}
