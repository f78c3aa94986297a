import { Cron } from 'croner';

/** When cron starts what has this schedule, next after a moment; undefined for what is due at no moment (`@reboot`). */
export function dueAfter(schedule: string, moment: Date): Date | undefined {
  if (schedule.trim().toLowerCase() === '@reboot') return undefined;
  return new Cron(schedule.trim(), { paused: true }).nextRun(moment) ?? undefined;
}
