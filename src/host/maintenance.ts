import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { DeployError } from '#core/errors';
import { type Maintenance, maintenanceSchema } from '#protocol/running';
import { readTextIfThere } from './files.ts';
import { ownedBy } from './ownership.ts';

const FLAGS = '/var/lib/slipway/slots';

/** Seconds nginx may take to answer on its own host. */
const ANSWER = 5;

// nginx asks for these very files at every request, so what they say is what is so.
const flagOf = (app: string) => join(FLAGS, app, 'maintenance');
const passesOf = (app: string) => join(FLAGS, app, 'maintenance-allow');

/** How an app's maintenance stands; undefined where the app serves. */
export async function readMaintenance(app: string): Promise<Maintenance | undefined> {
  const text = await readTextIfThere(flagOf(app));
  if (text === undefined) return undefined;
  try {
    return maintenanceSchema.parse(JSON.parse(text));
  } catch {
    // The file is there, so it is on, whatever is in it.
    return { since: '', by: '', allow: [] };
  }
}

async function sync(path: string): Promise<void> {
  await using handle = await open(path, 'r');
  await handle.sync();
}

/** Whether nginx answers with the maintenance page on this host. */
function isShown(domain: string): Promise<boolean> {
  return new Promise((resolve) => {
    const question = request(
      {
        host: '127.0.0.1',
        servername: domain,
        headers: { host: domain, 'user-agent': 'slipway-maintenance' },
        rejectUnauthorized: false,
        agent: false,
        timeout: ANSWER * 1000,
      },
      (response) => {
        response.resume();
        resolve(response.headers['slipway-maintenance'] !== undefined);
      },
    );
    question.once('timeout', () => question.destroy());
    question.once('error', () => resolve(false));
    question.end();
  });
}

/** Lets the app serve again: one removal. */
export async function endMaintenance(app: string): Promise<void> {
  await mkdir(join(FLAGS, app), { recursive: true, mode: 0o755 });
  await rm(flagOf(app), { force: true });
  await sync(join(FLAGS, app));
  await rm(passesOf(app), { recursive: true, force: true });
}

/**
 * Answers requests to an app with its maintenance page from now on: one rename, without a reload. Whoever comes from one
 * of the addresses is let through. It is undone where nginx turns out not to look for the file.
 */
export async function beginMaintenance(app: string, maintenance: Maintenance): Promise<void> {
  const domains = [...(await ownedBy(app)).values()]
    .filter(({ kind }) => kind === 'certificate')
    .map(({ footprint }) => String(footprint['domain']));
  const first = domains[0];
  if (first === undefined) {
    throw new DeployError('maintenance-ineffective', `${app} has no route on this host.`, {
      hint: 'Run `deploy up <environment>` first.',
    });
  }
  // nginx's workers need search permission on the way and read nothing.
  await mkdir(join(FLAGS, app), { recursive: true, mode: 0o755 });
  await rm(passesOf(app), { recursive: true, force: true });
  await mkdir(passesOf(app), { mode: 0o755 });
  for (const address of maintenance.allow) await writeFile(join(passesOf(app), address), '', { mode: 0o644 });
  const flag = flagOf(app);
  await writeFile(`${flag}.next`, JSON.stringify(maintenance), { mode: 0o644, flush: true });
  await rename(`${flag}.next`, flag);
  await sync(join(FLAGS, app));
  if (await isShown(first)) return;
  await endMaintenance(app);
  throw new DeployError(
    'maintenance-ineffective',
    `nginx goes on serving ${first}: its site does not know maintenance.`,
    {
      hint: 'Run `deploy up <environment>`, which writes the site anew, then run the same command again.',
    },
  );
}
