import type { Concern } from '#backup/alarms';
import { intervalOf } from '#core/cron-due';
import type { Alarm, DrillReport } from '#protocol/backup';

/** How many of its intervals a drill may not have passed. */
const INTERVALS = 2;

/** Characters of the first line of a report's reason that an alarm shows. */
const LONGEST = 400;

const moment = (iso: string) => `${iso.slice(0, 16).replace('T', ' ')} UTC`;

function failedText({ at, verdict, why = '' }: DrillReport, source: string): string {
  const what = verdict === 'error' ? 'could not be carried out' : 'failed';
  return `The last drill of ${source}, ${moment(at)}, ${what}: ${(why.split('\n')[0] ?? '').slice(0, LONGEST)}`;
}

/** Whether what is stored was restored lately, and as it should be. */
export const drillAlarms: Concern = ({ settings, drills, now, since }) =>
  settings.sources.flatMap(({ name }): readonly Alarm[] => {
    const own = drills.filter(({ source }) => source === name);
    const last = own.at(-1);
    if (last !== undefined && last.verdict !== 'passed') {
      const hint =
        last.verdict === 'error'
          ? `Mend what it names, then \`deploy drill ${settings.environment} --only ${name}\`.`
          : `Take a new copy with \`deploy backup now ${settings.environment}\`, mend what it names, then \`deploy drill ${settings.environment} --only ${name}\`.`;
      return [{ source: name, message: failedText(last, name), hint }];
    }
    const interval = settings.drill.schedule === undefined ? undefined : intervalOf(settings.drill.schedule, now);
    if (interval === undefined) return [];
    const good = Math.max(since, last === undefined ? 0 : Date.parse(last.at));
    if (now - good < INTERVALS * interval) return [];
    return [
      {
        source: name,
        message:
          last === undefined
            ? `${name} was never restored on trial.`
            : `${name} was last restored on trial ${moment(last.at)}.`,
        hint: `Make up for it with \`deploy drill ${settings.environment}\`; \`journalctl --identifier=slipway-backup\` on the host tells what cron did.`,
      },
    ];
  });
