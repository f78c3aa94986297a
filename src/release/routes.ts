import { DeployError } from '#core/errors';
import type { Host } from '#resources/resource';

/** nginx files of an app by their path below /etc/nginx, as a release was made with them. */
export type Routes = Readonly<Record<string, string>>;

const NGINX = '/etc/nginx';
const ATTRIBUTES = { mode: '0644', owner: 'root', group: 'root' };

async function write(host: Host, files: Routes): Promise<void> {
  for (const [path, content] of Object.entries(files)) await host.writeFile(`${NGINX}/${path}`, content, ATTRIBUTES);
}

/**
 * Sees to it that nginx routes as a release was made to be routed; resolves with the files that stood there before, for
 * the way back. A file that is not there is none of a release's making: its domain has no certificate yet, and `up`
 * brings both. Where nothing differs, nginx is left alone.
 */
export async function installRoutes(host: Host, routes: Routes): Promise<Routes> {
  const now = await Promise.all(
    Object.keys(routes).map(async (path) => [path, await host.readFile(`${NGINX}/${path}`)] as const),
  );
  const before = Object.fromEntries(
    now.flatMap(([path, content]) =>
      content === undefined || content === routes[path] ? [] : [[path, content] as const],
    ),
  );
  const paths = Object.keys(before);
  if (paths.length === 0) return {};
  host.say('bringing the routes of the release');
  await write(host, Object.fromEntries(paths.map((path) => [path, routes[path] ?? ''])));
  const trial = await host.run(['nginx', '-t']);
  if (trial.exitCode !== 0) {
    await write(host, before);
    throw new DeployError(
      'release-rejected',
      `nginx does not accept the routes of this release:\n${trial.stderr.trim()}`,
      {
        hint: 'Traffic was not touched. Run `deploy up`, which brings what the routes need.',
      },
    );
  }
  await host.must(['systemctl', 'reload', 'nginx.service']);
  return before;
}
