import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { DeployError } from '#core/errors';
import { readTextIfThere } from './files.ts';
import { journalPath, operations } from './journal.ts';
import { lockHolder } from './lock.ts';

/** Milliseconds between looks at a growing event log. */
const INTERVAL = 100;

async function newest(): Promise<string> {
  const holder = await lockHolder();
  const operation = holder?.operation ?? (await operations()).at(-1);
  if (operation !== undefined) return operation;
  throw new DeployError('operation-unknown', 'No operation was ever run on this host.', {
    hint: 'Start one with `deploy up <environment>`.',
  });
}

/** Whether an operation is still at work: what takes no lock is known by its process, whose number its name ends with. */
async function goesOn(operation: string): Promise<boolean> {
  if ((await lockHolder())?.operation === operation) return true;
  const command = await readTextIfThere(`/proc/${operation.split('-').at(-1)}/cmdline`);
  return command?.includes('slipway-host') === true;
}

/**
 * Repeats an operation's events from its first to its last, following it while it runs; the newest operation where none
 * is named. An operation whose runner died without a last word is told as such.
 */
export async function attach(wanted: string | undefined, tell: (line: string) => void): Promise<number> {
  const operation = wanted ?? (await newest());
  const log = await open(journalPath(operation), 'r').catch(() => undefined);
  if (log === undefined) {
    throw new DeployError('operation-unknown', `There is no operation ${operation} on this host.`, {
      hint: 'Leave the name out to follow the newest.',
    });
  }
  const buffer = Buffer.alloc(65_536);
  let rest = Buffer.alloc(0);
  try {
    for (;;) {
      const { bytesRead } = await log.read(buffer);
      rest = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
      let end = rest.indexOf(10);
      while (end >= 0) {
        const line = rest.subarray(0, end + 1).toString('utf8');
        rest = rest.subarray(end + 1);
        tell(line);
        const { type } = JSON.parse(line) as { type: string };
        if (type === 'operation.finished') return 0;
        if (type === 'operation.failed') return 1;
        end = rest.indexOf(10);
      }
      if (bytesRead === 0) {
        if (!(await goesOn(operation))) break;
        await sleep(INTERVAL);
      }
    }
  } finally {
    await log.close();
  }
  throw new DeployError(
    'operation-died',
    `The operation ${operation} ended without a last word: its runner was killed.`,
    {
      hint: 'Run `deploy up` again; it goes on where this one stopped.',
    },
  );
}
