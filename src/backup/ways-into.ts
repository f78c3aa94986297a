import { dirname } from 'node:path';
import { quote } from '#core/quote';
import type { Source } from '#protocol/backup';

/** What to type on the host, as root. */
export interface WaysInto {
  readonly look: string[];
  readonly leave: string[];
}

/** Where an image of PostgreSQL keeps its data: the newest layout has a folder for each major version below it. */
function postgresMount(image: string): string {
  const major = Number(/pg(\d+)/.exec(image)?.[1] ?? /:(\d+)/.exec(image)?.[1] ?? 0);
  return major >= 18 ? '/var/lib/postgresql' : '/var/lib/postgresql/data';
}

/** How to look into restored data, cut off from every network, and how to be rid of it. */
export function waysInto(source: Source, path: string, id: string): WaysInto {
  const folder = quote(dirname(path));
  const remove = `rm --recursive ${folder}`;
  if (source.type === 'volume') return { look: [`ls -la ${quote(path)}`], leave: [remove] };
  const name = `${source.container}-${id.slice(-4)}`;
  const serve = (mount: string): string =>
    `docker run --detach --name ${name} --network none --volume ${quote(path)}:${mount} ${source.image}`;
  const inside = (command: string): string => `docker exec --interactive --tty ${name} ${command}`;
  const leave = [`docker rm --force ${name}`, remove];
  switch (source.type) {
    case 'postgres': {
      const psql = `psql --username=${quote(source.user)} ${quote(source.database)}`;
      return { look: [serve(postgresMount(source.image)), inside(psql)], leave };
    }
    case 'redis': {
      // One that keeps an append-only file finds its data nowhere else.
      const appending = source.aof ? ' redis-server --appendonly yes' : '';
      return { look: [`${serve('/data')}${appending}`, inside('redis-cli')], leave };
    }
    case 'mariadb':
    case 'mysql':
      return {
        look: [serve('/var/lib/mysql'), inside(`${source.type} --user=${quote(source.user)} --password`)],
        leave,
      };
  }
}
