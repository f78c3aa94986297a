import { Cron } from 'croner';

/** When cron starts what has this schedule, next after a moment; undefined for what is due at no moment (`@reboot`). */
export function dueAfter(schedule: string, moment: Date): Date | undefined {
  if (schedule.trim().toLowerCase() === '@reboot') return undefined;
  return new Cron(schedule.trim(), { paused: true }).nextRun(moment) ?? undefined;
}

/** Milliseconds between the next two times that cron starts what has this schedule; undefined for what it starts once. */
export function intervalOf(schedule: string, now: number): number | undefined {
  const first = dueAfter(schedule, new Date(now));
  const second = first === undefined ? undefined : dueAfter(schedule, first);
  return first === undefined || second === undefined ? undefined : second.getTime() - first.getTime();
}
