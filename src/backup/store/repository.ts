import { DeployError } from '#core/errors';
import type { Repository } from '#protocol/backup';

/** Where a repository is, taken apart. */
export type Place =
  | { readonly type: 'local'; readonly path: string }
  | {
      readonly type: 'sftp';
      readonly host: string;
      readonly user?: string;
      readonly port?: number;
      readonly path: string;
    }
  | {
      readonly type: 's3';
      /** With its scheme. */
      readonly endpoint: string;
      readonly bucket: string;
      /** Without slashes around it; may be empty. */
      readonly path: string;
    }
  | { readonly type: 'rest'; readonly url: string };

function refuse(url: string): DeployError {
  return new DeployError('repository-failed', `${url} is no repository.`, {
    hint: 'Write sftp:user@host:/path, s3:https://host/bucket/path, rest:https://host/ or a folder.',
  });
}

const trimmed = (path: string): string => path.replace(/^\/+|\/+$/g, '');

function sftpPlace(url: string): Place {
  // sftp://user@host:port//absolute or …/relative; sftp:user@host:/absolute or …:relative
  const long = /^sftp:\/\/(?:([^@/]+)@)?(\[[^\]]+\]|[^:/]+)(?::(\d+))?\/(.+)$/.exec(url);
  const short = /^sftp:(?!\/\/)(?:([^@/]+)@)?(\[[^\]]+\]|[^:/]+):()(.+)$/.exec(url);
  const [, user, host, port, path] = long ?? short ?? [];
  if (host === undefined || path === undefined) throw refuse(url);
  return {
    type: 'sftp',
    host: host.replace(/^\[|\]$/g, ''),
    path: path === '/' ? path : path.replace(/\/+$/, ''),
    ...(user === undefined ? {} : { user }),
    ...(port === undefined || port === '' ? {} : { port: Number(port) }),
  };
}

/** Takes a repository's address apart, as restic would. */
export function placeOf(url: string): Place {
  if (url.startsWith('/')) return { type: 'local', path: url === '/' ? url : url.replace(/\/+$/, '') };
  if (url.startsWith('sftp:')) return sftpPlace(url);
  if (url.startsWith('rest:')) return { type: 'rest', url: url.slice('rest:'.length).replace(/\/+$/, '') };
  if (!url.startsWith('s3:')) throw refuse(url);
  const [, scheme = 'https', host, bucket, path = ''] =
    /^s3:(?:\/\/)?(?:(https?):\/\/)?([^/]+)\/([^/]+)(?:\/(.*))?$/.exec(url) ?? [];
  if (host === undefined || bucket === undefined) throw refuse(url);
  return { type: 's3', endpoint: `${scheme}://${host}`, bucket, path: trimmed(path) };
}

/** A place below a place. */
export function below(place: Place, ...names: readonly string[]): Place {
  const more = names.join('/');
  switch (place.type) {
    case 'rest':
      return { ...place, url: `${place.url}/${more}` };
    case 's3':
      return { ...place, path: trimmed(`${place.path}/${more}`) };
    default:
      return { ...place, path: place.path === '/' ? `/${more}` : `${place.path}/${more}` };
  }
}

/** A place as restic writes it. */
export function resticUrl(place: Place): string {
  switch (place.type) {
    case 'local':
      return place.path;
    case 'rest':
      return `rest:${place.url}/`;
    case 's3':
      return ['s3:', [place.endpoint, place.bucket, place.path].filter((part) => part !== '').join('/')].join('');
    case 'sftp': {
      const { user, host, port, path } = place;
      const login = user === undefined ? '' : `${user}@`;
      const address = host.includes(':') ? `[${host}]` : host;
      return `sftp://${login}${address}${port === undefined ? '' : `:${port}`}/${path}`;
    }
  }
}

/** What a server of a place is called, for a person. */
export function serverOf({ name, url }: Pick<Repository, 'name' | 'url'>): string {
  const place = placeOf(url);
  switch (place.type) {
    case 'local':
      return `the ${name} repository (${place.path})`;
    case 'sftp':
      return `the ${name} repository (${place.host} over SFTP)`;
    case 's3':
      return `the ${name} repository (bucket ${place.bucket} at ${place.endpoint})`;
    case 'rest':
      return `the ${name} repository (${place.url})`;
  }
}
