import { DeployError } from '#core/errors';
import type { ReleaseProps } from '#resources/release';
import type { Host } from '#resources/resource';

/** What leads to an app, as a release was made with it. */
export type Routes = ReleaseProps['routes'];

type Files = Routes['files'];

const NGINX = '/etc/nginx';
const ATTRIBUTES = { mode: '0644', owner: 'root', group: 'root' };

async function write(host: Host, files: Files): Promise<void> {
  for (const [path, content] of Object.entries(files)) await host.writeFile(`${NGINX}/${path}`, content, ATTRIBUTES);
}

/**
 * Sees to it that nginx routes as a release was made to be routed, where that is not how the one before it was: a site
 * that is merely written otherwise is left to `up`, so most releases leave nginx alone. So is a site that is not there
 * yet, since its domain has no certificate.
 */
export async function installRoutes(host: Host, from: Routes | undefined, to: Routes): Promise<void> {
  if (from === undefined || from.declared === to.declared) return;
  const now = await Promise.all(
    Object.keys(to.files).map(async (path) => [path, await host.readFile(`${NGINX}/${path}`)] as const),
  );
  const before: Files = Object.fromEntries(
    now.flatMap(([path, content]) =>
      content === undefined || content === to.files[path] ? [] : [[path, content] as const],
    ),
  );
  const paths = Object.keys(before);
  if (paths.length === 0) return;
  host.say('bringing the routes of the release');
  await write(host, Object.fromEntries(paths.map((path) => [path, to.files[path] ?? ''])));
  const trial = await host.run(['nginx', '-t']);
  if (trial.exitCode !== 0) {
    await write(host, before);
    throw new DeployError(
      'release-rejected',
      `nginx does not accept the routes of this release:\n${trial.stderr.trim()}`,
      { hint: 'Traffic was not touched. Run `deploy up`, which brings what the routes need.' },
    );
  }
  await host.must(['systemctl', 'reload', 'nginx.service']);
}
