import { settingsOf } from '#backup/settings';
import type { ErrorCode } from '#core/error-codes';
import { asDeployError, DeployError } from '#core/errors';
import type { BackupJob, BackupRecord, BackupRequest, Source } from '#protocol/backup';
import type { Facts } from '#protocol/facts';
import { runJob, sourceNamed } from './backup.ts';
import { runOperation } from './operation.ts';

type Asked = Extract<BackupRequest, { verb: 'backup' | 'backup-verify' }>;

/** What went wrong in a run, in a line: its record has been told in full. Undefined where nothing did. */
function faultOf({ source, repository, result, why }: BackupRecord): string | undefined {
  if (result === 'done') return undefined;
  const where = [source, repository].filter((word) => word !== undefined).join(', ');
  return `${where === '' ? '' : `${where}: `}${why?.split('\n')[0]?.replace(/:$/, '') ?? 'it failed'}`;
}

function jobFor(verb: Asked['verb'], { type }: Source): BackupJob {
  if (verb === 'backup-verify') return 'check';
  return type === 'postgres' ? 'full' : 'copy';
}

const FAILED: Readonly<Record<Asked['verb'], { code: ErrorCode; hint: string }>> = {
  backup: {
    code: 'backup-failed',
    hint: 'Earlier copies are untouched. Mend what it names, then run the same command again.',
  },
  'backup-verify': {
    code: 'copy-broken',
    hint: 'Take a new copy at once with `deploy backup now <environment>`, and find out who changed what it names.',
  },
};

/**
 * Does now, for one source or all, what cron does at its time: copies, or a check of what is stored. It goes on when the
 * laptop leaves. Without the lock of operations, since a backup must be possible while anything else is done; each job
 * has its own.
 */
export async function runNow(request: Asked, facts: Facts, tell: (line: string) => void): Promise<number> {
  const { verb, app, environment, by, only } = request;
  const doing = { verb, app, environment, by, secrets: [], readsOnly: true };
  return runOperation(doing, facts, tell, async (machine, emit) => {
    const { sources } = await settingsOf(app);
    const faults: string[] = [];
    const wanted = only === undefined ? sources : [sourceNamed(sources, only)];
    for (const source of wanted) {
      const job = jobFor(verb, source);
      machine.say(job === 'check' ? `looking at the copies of ${source.name}` : `copying ${source.name}`);
      try {
        for (const record of await runJob(machine, app, job, source.name)) {
          emit({ type: 'backup.ran', app, record });
          const fault = faultOf(record);
          if (fault !== undefined) faults.push(fault);
        }
      } catch (thrown) {
        // The others are no less worth copying.
        const { message } = asDeployError(thrown);
        faults.push(`${source.name}: ${message}`);
      }
    }
    const [changed, unchanged] = verb === 'backup' ? [wanted.length, 0] : [0, wanted.length];
    if (faults.length === 0) return { changed, unchanged, removed: 0 };
    const { code, hint } = FAILED[verb];
    throw new DeployError(code, faults.join('\n'), { hint });
  });
}
