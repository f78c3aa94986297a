import { drill } from '#backup/drill/drill';
import { doneOf } from '#backup/drill/job';
import { readReports } from '#backup/drill/reports';
import { settingsOf } from '#backup/settings';
import { DeployError } from '#core/errors';
import type { BackupRequest, DrillReport } from '#protocol/backup';
import type { EventBody } from '#protocol/event';
import type { Facts } from '#protocol/facts';
import { runJob, sourceNamed } from './backup.ts';
import { runOperation } from './operation.ts';

type Asked<Verb extends BackupRequest['verb']> = Extract<BackupRequest, { verb: Verb }>;
type Tell = (line: string) => void;

function faultOf({ source, verdict, why = '' }: DrillReport): string {
  return `${source} ${verdict === 'error' ? 'could not be drilled' : 'failed its drill'}: ${why}`;
}

/**
 * Restores on trial now. Without the lock of operations, since it changes nothing and may take an hour; of drills there
 * is one at a time. It goes on when the laptop leaves.
 */
export async function runDrill(request: Asked<'drill'>, facts: Facts, tell: Tell): Promise<number> {
  const { verb, app, environment, by, target, only, from } = request;
  const doing = { verb, app, environment, by, secrets: [], readsOnly: true };
  return runOperation(doing, facts, tell, async (machine) => {
    let reports: readonly DrillReport[] = [];
    await runJob(machine, app, 'drill', undefined, async (backups) => {
      const { sources: all } = backups.settings;
      const sources = only === undefined ? all : [sourceNamed(all, only)];
      reports = await drill(backups, { sources, target: () => target, from });
      return reports.map(doneOf);
    });
    const faults = reports.filter(({ verdict }) => verdict !== 'passed').map(faultOf);
    if (faults.length === 0) return { changed: 0, unchanged: reports.length, removed: 0 };
    throw new DeployError('drill-failed', faults.join('\n'), {
      hint: `\`deploy drills ${environment}\` shows the report; after mending, take a new copy with \`deploy backup now ${environment}\`.`,
    });
  });
}

/** Tells of all drills there were; changes nothing, and so takes no lock and keeps no log. */
export async function listDrills({ app }: Asked<'drills'>, tell: Tell): Promise<number> {
  const started = performance.now();
  const say = (body: EventBody) => tell(`${JSON.stringify({ at: new Date().toISOString(), ...body })}\n`);
  await settingsOf(app);
  say({ type: 'drills.listed', app, reports: [...(await readReports(app))] });
  const duration = (performance.now() - started) / 1000;
  say({ type: 'operation.finished', changed: 0, unchanged: 0, removed: 0, duration });
  return 0;
}
