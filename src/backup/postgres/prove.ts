import type { Backups, Restored, Revived } from '#backup/engine';
import { runInside } from '#backup/inside';
import { lastLines, type Output } from '#core/run';
import type { DrillCheck, PostgresSource } from '#protocol/backup';
import type { Host } from '#resources/resource';
import { untilPromoted } from './revive.ts';
import { compareRows } from './rows.ts';
import { pgCommand, query, rowsOf, type ServerOf, tryQuery } from './server.ts';

/** Seconds for whatever reads a whole database. */
const LIMIT = 6 * 3600;
/** Seconds for one assertion. */
const ASSERTION = 900;
/** Characters of an assertion or an answer that are told. */
const TOLD = 100;

type Finding = Pick<DrillCheck, 'result' | 'found'>;

const passed = (found: string): Finding => ({ result: 'passed', found });
const failed = (found: string): Finding => ({ result: 'failed', found });
const skipped = (found: string): Finding => ({ result: 'skipped', found });

function short(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length > TOLD ? `${line.slice(0, TOLD - 1)}…` : line;
}

/** One look at a copy; what cannot be looked at has failed. */
async function check(name: string, look: () => Promise<Finding>): Promise<DrillCheck> {
  const began = performance.now();
  const finding = await look().catch((error: unknown) =>
    failed(error instanceof Error ? error.message : String(error)),
  );
  return { name, ...finding, duration: (performance.now() - began) / 1000 };
}

// 127 is what `env` ends with where the image lacks the program.
function isMissing({ exitCode, stderr }: Output): boolean {
  return exitCode === 127 || /"amcheck" is not available|could not open extension control file/.test(stderr);
}

/** Looks through every table and every index, and whether each index has what its table has. */
async function indexes(host: Host, { container, user }: ServerOf): Promise<Finding> {
  const args = ['--all', '--heapallindexed', '--install-missing', '--no-password', `--username=${user}`];
  const output = await runInside(host, pgCommand(container, 'pg_amcheck', args), { timeout: LIMIT });
  if (isMissing(output)) return skipped(`the image has no pg_amcheck: ${lastLines(output, 1)}`);
  if (output.exitCode === 0) return passed('no fault in any table or index');
  const lines = `${output.stdout}${output.stderr}`.trim().split('\n');
  return failed(lines.slice(0, 6).join('\n'));
}

/** Reads every row of every database as a dump would, which no check of files replaces. */
async function readThrough(host: Host, { container, user }: ServerOf): Promise<Finding> {
  const args = ['--file=/dev/null', '--no-sync', '--no-password', `--username=${user}`];
  const output = await runInside(host, pgCommand(container, 'pg_dumpall', args), { timeout: LIMIT });
  if (output.exitCode !== 0) return failed(lastLines(output));
  const [[databases = ''] = []] = await query(
    host,
    { container, user, database: 'template1' },
    'SELECT count(*) FROM pg_database WHERE datallowconn;',
  );
  return passed(`pg_dumpall read every row of ${databases} databases`);
}

interface Guest {
  readonly Image: string;
  readonly Config: { readonly User: string; readonly Labels: Readonly<Record<string, string>> };
}

/** Computes the checksum of every page, which takes a server that is stopped. */
async function checksums(host: Host, server: ServerOf): Promise<Finding> {
  const { container } = server;
  const [[state = '', data = ''] = []] = await query(
    host,
    server,
    "SELECT current_setting('data_checksums'), current_setting('data_directory');",
  );
  if (state !== 'on') return skipped('the cluster has no page checksums');
  const guest = await host.docker<Guest>(`/containers/${container}/json`);
  if (guest === undefined) return failed(`${container} is gone`);
  const labels = Object.entries(guest.Config.Labels).flatMap(([name, value]) => ['--label', `${name}=${value}`]);
  await host.must(['docker', 'stop', '--time', '300', container], { timeout: 330 });
  const output = await host.run(
    [
      ...['docker', 'run', '--rm', '--network', 'none', '--user', guest.Config.User, ...labels],
      ...['--volumes-from', container, '--entrypoint', 'pg_checksums', guest.Image],
      '--check',
      `--pgdata=${data}`,
    ],
    { timeout: LIMIT },
  );
  await host.must(['docker', 'start', container], { timeout: 120 });
  await untilPromoted(host, server);
  if (output.exitCode !== 0)
    return failed(`${output.stdout}${output.stderr}`.trim().split('\n').slice(0, 6).join('\n'));
  return passed(
    `${/Blocks scanned:\s*(\d+)/.exec(output.stdout)?.[1] ?? 'all'} pages have the checksum they were written with`,
  );
}

/** Asks what the project wants to be true of its data. */
async function assertion(host: Host, server: ServerOf, sql: string): Promise<Finding> {
  const output = await tryQuery(host, server, `${sql}\n;`, { timeout: ASSERTION });
  if (output.exitCode !== 0) return failed(lastLines(output));
  const rows = rowsOf(output.stdout);
  const [[value = '', ...columns] = [], ...others] = rows;
  if (rows.length === 0) return failed('answered nothing; it must answer one true value');
  if (others.length > 0 || columns.length > 0) {
    return failed(`answered ${rows.length} rows of ${columns.length + 1} columns; it must answer one true value`);
  }
  return value === 't' ? passed('true') : failed(`answered ${value === '' ? 'nothing' : short(value)}, not true`);
}

/** Looks through restored data that is served: rows, indexes, pages, and what the project asserts. */
export async function prove(
  backups: Backups,
  source: PostgresSource,
  { container }: Revived,
  restored: Restored,
): Promise<readonly DrillCheck[]> {
  const { host, settings } = backups;
  const server = { ...source, container };
  const checks: DrillCheck[] = [await check('row counts', () => compareRows(backups, source, server, restored.base))];
  for (const sql of settings.drill.assert[source.name] ?? []) {
    checks.push(await check(`assertion: ${short(sql)}`, () => assertion(host, server, sql)));
  }
  checks.push(await check('full read-through', () => readThrough(host, server)));
  checks.push(await check('tables and indexes', () => indexes(host, server)));
  checks.push(await check('page checksums', () => checksums(host, server)));
  return checks;
}
