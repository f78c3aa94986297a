import type { Host } from '#resources/resource';

const LOGINS = '/root/.docker/config.json';

interface Logins {
  readonly auths?: Readonly<Record<string, { readonly auth?: string }>>;
}

/** The registry that a reference names: its first part where that is a host, else Docker Hub. */
export function registryOf(reference: string): string {
  const [first = '', ...rest] = reference.split('/');
  return rest.length > 0 && /[.:]|^localhost$/.test(first) ? first : 'docker.io';
}

/** What the engine needs to be told to ask a registry in this host's name; nothing where the host has no login. */
export async function registryLogin(host: Host, reference: string): Promise<Readonly<Record<string, string>>> {
  const registry = registryOf(reference);
  let logins: Logins = {};
  try {
    logins = JSON.parse((await host.readFile(LOGINS)) ?? '{}') as Logins;
  } catch {
    // A file that Docker cannot read either; the pull says so.
  }
  // Docker Hub's credentials are kept under the address of its first API.
  const address = registry === 'docker.io' ? 'https://index.docker.io/v1/' : registry;
  const auth = logins.auths?.[address]?.auth;
  if (auth === undefined) return {};
  const [username = '', ...password] = Buffer.from(auth, 'base64').toString().split(':');
  const login = { username, password: password.join(':'), serveraddress: address };
  return { 'x-registry-auth': Buffer.from(JSON.stringify(login)).toString('base64url') };
}
