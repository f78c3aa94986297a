import { expect } from 'vitest';
import { loadEnvironment } from '#inventory/load';
import { assemble } from '#plan/assemble';
import type { PlaybookContext } from '#playbook/playbook';
import { PLAYBOOKS } from '#playbooks/index';
import type { BackupJob, BackupRecord } from '#protocol/backup';
import type { Declaration } from '#protocol/plan';
import { AUTHORITIES } from '#sandbox/places';
import { down, run, type SandboxHost, up } from '#sandbox/sandbox';
import { render } from '#test/unit/playbooks/environments';
import { readyInternet } from './app-host.ts';
import { type OnHost, onHost } from './converge.ts';
import { makeProject, type Project } from './project.ts';

type Keys = Readonly<Record<string, unknown>>;

/** What a host is to have besides PostgreSQL, and what its inventory says beyond the defaults. */
export interface Wanted {
  /** The name of the sandbox host. */
  readonly name: string;
  readonly redis?: boolean;
  /** The demo app, released behind nginx on the domain `<name>.sandbox.test`, without a certificate. */
  readonly demo?: boolean;
  /** Keys of the inventory's sections, beside or over those of `inventoryOf`. */
  readonly backups?: Keys;
  readonly drills?: Keys;
  readonly postgres?: Keys;
  readonly release?: Keys;
  readonly accessories?: Readonly<Record<string, Keys>>;
  readonly services?: Readonly<Record<string, Keys>>;
  /** Further secrets, by their names in the inventory. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** Whether cron starts the jobs too; left out, nothing runs but what a test runs, so that no run meets another. */
  readonly crons?: boolean;
  /** With the packages, but without the `backup` resource: a host that gets it later. */
  readonly withoutBackups?: boolean;
}

/** What a script on the host did. */
interface Ran {
  readonly code: number | null;
  /** Standard output and standard error, without the line break at its end. */
  readonly said: string;
}

/** A sandbox host whose PostgreSQL is backed up: the app is `shop`, the environment `prod`, the host `vps`. */
export interface BackedUp extends AsyncDisposable {
  readonly sandbox: SandboxHost;
  readonly host: OnHost;
  readonly project: Project;
  /** Converges once more, with other wishes; rejects where that fails. Resolves with what differed before. */
  converge(changes?: Partial<Wanted>): Promise<readonly string[]>;
  /** What a script does as root of the host, past its sshd. */
  inside(script: string, timeout?: number): Promise<Ran>;
  /** What a script prints; rejects where it fails. */
  says(script: string, timeout?: number): Promise<string>;
  /** What SQL answers in the database's own container, as psql prints it unaligned, without headers. */
  sql(statements: string): Promise<string>;
  /** Runs a job as cron does, without its spread; resolves with the records it has added. */
  job(job: BackupJob, source?: string): Promise<Ran & { readonly records: readonly BackupRecord[] }>;
  /** All records of the app, oldest first. */
  records(): Promise<readonly BackupRecord[]>;
}

const RECORDS = '/var/lib/slipway/backup/shop/records.ndjson';
const RUNNER = '/opt/slipway/current/slipway-host';

/** What the database's container is called on the host. */
export const DATABASE = 'shop-postgres';

/** Where copies go in tests that are not about how a repository is reached. */
export const OFFSITE = '/srv/offsite';

/** The inventory of such a host; unless told otherwise no job but `watch` is due while a test runs. */
export function inventoryOf(sandbox: SandboxHost, wanted: Wanted): Keys {
  const registry = 'registry.sandbox.test';
  const domain = `${wanted.name}.sandbox.test`;
  const never = '0 0 1 1 *';
  const demo = {
    web: {
      image: `${registry}/demo:v1`,
      healthcheck: { path: '/up' },
      environment: {
        DATABASE_URL: 'postgres://app:${POSTGRES_PASSWORD}@postgres:5432/app',
        REDIS_URL: wanted.redis === true ? 'redis://redis:6379' : 'none',
      },
    },
  };
  return {
    app: 'shop',
    hosts: { vps: { address: sandbox.address, identityFile: sandbox.keyFile, user: sandbox.user } },
    services: { ...(wanted.demo === true ? demo : {}), ...wanted.services },
    ...(wanted.demo === true ? { routes: { [domain]: 'web:3000' }, release: { watch: '0s', ...wanted.release } } : {}),
    accessories: {
      postgres: {
        image: `${registry}/postgres:17`,
        pgbouncer: false,
        backup: { full: never, incremental: never, dump: never },
        ...wanted.postgres,
      },
      ...(wanted.redis === true
        ? { redis: { image: `${registry}/redis:8`, aof: false, backup: { schedule: never } } }
        : {}),
      ...wanted.accessories,
    },
    backups: { repository: OFFSITE, ...wanted.backups },
    drills: { schedule: false, ...wanted.drills },
    certificates: { directory: 'https://acme.sandbox.test:14000/dir', ca: AUTHORITIES },
  };
}

/** Everything but what hardens, which takes as long as the rest, and certificates, which no backup needs. */
function declaredOn(context: PlaybookContext, { demo, crons, withoutBackups }: Wanted): readonly Declaration[] {
  const needed = ['docker', 'accessories', 'backups', ...(demo === true ? ['docker-proof', 'proxy', 'app'] : [])];
  const left = [
    'fail2ban-jail',
    ...(crons === true ? [] : ['cron-entry']),
    ...(withoutBackups === true ? ['backup'] : []),
  ];
  return assemble(
    PLAYBOOKS.filter(({ name }) => needed.includes(name)).map((playbook) => ({
      playbook: playbook.name,
      resources: playbook.resources(context).filter(({ kind }) => !left.includes(kind)),
    })),
  );
}

async function convergeTo(host: OnHost, project: Project, sandbox: SandboxHost, wanted: Wanted) {
  const secrets = Object.entries({ POSTGRES_PASSWORD: 'sesame', ...wanted.secrets });
  const lines = secrets.map(([name, value]) => `${name}='${value}'\n`);
  project.write('prod', inventoryOf(sandbox, wanted), lines.join(''));
  const environment = await loadEnvironment(project.folder, 'prod');
  const { facts } = await host.plan([]);
  const declared = declaredOn({ environment, host: 'vps', facts, render }, wanted);
  const { error, steps } = await host.up(declared, { app: 'shop', secrets: Object.values(environment.secrets) });
  if (error !== undefined) throw error;
  return steps.map(({ resource }) => resource);
}

/** Makes such a host, or rejects with what was in its way. A host of the same name goes first. */
export async function backedUp(wanted: Wanted): Promise<BackedUp> {
  const { name } = wanted;
  await down([name]).catch(() => undefined);
  await readyInternet();
  const sandbox = await up({ name, aptCache: true, equipped: true });
  const host = await onHost(sandbox);
  const project = makeProject();
  await convergeTo(host, project, sandbox, wanted);

  const inside: BackedUp['inside'] = async (script, timeout = 300) => {
    const { exitCode, stdout } = await run(name, ['sh', '-c', `exec 2>&1\n${script}`], { timeout });
    return { code: exitCode, said: stdout.trimEnd() };
  };
  const says: BackedUp['says'] = async (script, timeout) => {
    const { code, said } = await inside(script, timeout);
    expect(code, `${script}\n${said}`).toBe(0);
    return said;
  };
  const records = async (): Promise<readonly BackupRecord[]> =>
    (await says(`cat ${RECORDS} 2>/dev/null || true`))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as BackupRecord);
  return {
    sandbox,
    host,
    project,
    inside,
    says,
    records,
    converge: (changes) => convergeTo(host, project, sandbox, { ...wanted, ...changes }),
    async sql(statements) {
      const psql = ['psql', '-X', '-A', '-t', '-q', '-v', 'ON_ERROR_STOP=1', '-U', 'app', '-d', 'app'];
      const output = await run(name, ['docker', 'exec', '-i', DATABASE, ...psql], { input: statements, timeout: 300 });
      expect(output.exitCode, output.stderr).toBe(0);
      return output.stdout.trimEnd();
    },
    async job(job, source) {
      const before = (await records()).length;
      const words = [job, 'shop', ...(source === undefined ? [] : [source]), '--now'];
      const ran = await inside(`${RUNNER} backup ${words.join(' ')}`, 600);
      return { ...ran, records: (await records()).slice(before) };
    },
    async [Symbol.asyncDispose]() {
      await host[Symbol.asyncDispose]();
      await down([name]);
    },
  };
}
