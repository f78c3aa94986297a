import * as z from 'zod';
import { DeployError } from '#core/errors';
import { lastLines } from '#core/run';
import { defineKind, type Host } from '#resources/resource';

const props = z.strictObject({
  /** As in an image's name: `ghcr.io`, `registry.example.com:5000`; `docker.io` is Docker Hub. */
  registry: z.string().regex(/^[a-z0-9.-]+(:\d+)?$/i),
  username: z.string().min(1),
  /** Goes over standard input into root's own Docker configuration, 0600. */
  password: z.string().min(1),
});

interface State {
  /** `user:password` as it was stored; never leaves this process. */
  readonly credentials: string;
  readonly mode: string;
}

const PATH = '/root/.docker/config.json';
const ENVIRONMENT = { HOME: '/root' };

/** Docker Hub's credentials are kept under the address of its first API. */
const storedAs = (registry: string): string => (registry === 'docker.io' ? 'https://index.docker.io/v1/' : registry);

async function storedAuths(host: Host): Promise<Readonly<Record<string, { readonly auth?: string | undefined }>>> {
  return host.once('docker logins', async () => {
    const schema = z.object({ auths: z.record(z.string(), z.object({ auth: z.string().optional() })).optional() });
    try {
      return schema.parse(JSON.parse((await host.readFile(PATH)) ?? '{}')).auths ?? {};
    } catch {
      return {};
    }
  });
}

/** Credentials of root for one registry, tried against it before they are stored. */
export const dockerLoginKind = defineKind({
  kind: 'docker-login',
  summary: 'Credentials for one container registry, tried against it before they are stored.',
  props,
  id: ({ registry }) => registry,
  async read(host, { registry }): Promise<State | undefined> {
    const auth = (await storedAuths(host))[storedAs(registry)]?.auth;
    if (auth === undefined) return undefined;
    const stat = await host.stat(PATH);
    return { credentials: Buffer.from(auth, 'base64').toString(), mode: stat?.mode ?? '' };
  },
  diff(state, { username, password }) {
    if (state === undefined) return [{ summary: `log in as ${username}` }];
    if (state.credentials !== `${username}:${password}`) return [{ summary: 'credentials' }];
    return state.mode === '0600' ? [] : [{ summary: `mode ${state.mode} -> 0600` }];
  },
  async apply(host, { registry, username, password }) {
    const where = registry === 'docker.io' ? [] : [registry];
    const output = await host.run(['docker', 'login', '--username', username, '--password-stdin', ...where], {
      input: password,
      env: ENVIRONMENT,
    });
    if (output.exitCode !== 0) {
      throw new DeployError(
        'registry-login-failed',
        `Logging in to ${registry} as ${username} failed: ${lastLines(output, 2)}`,
        {
          hint: 'Check the user name and the password in the .env file; a token may have expired.',
        },
      );
    }
    await host.must(['chmod', '0600', PATH]);
  },
  footprint: ({ registry }) => ({ registry }),
  async remove(host, footprint) {
    const registry = footprint.registry as string;
    if (!(await host.has('docker'))) return;
    await host.run(['docker', 'logout', ...(registry === 'docker.io' ? [] : [registry])], { env: ENVIRONMENT });
  },
});
