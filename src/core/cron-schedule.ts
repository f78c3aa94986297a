const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const NICKNAMES = ['@reboot', '@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly'];

interface Field {
  readonly from: number;
  readonly to: number;
  readonly names?: readonly string[];
}

// crontab(5); 0 and 7 are both Sunday.
const FIELDS: readonly Field[] = [
  { from: 0, to: 59 },
  { from: 0, to: 23 },
  { from: 1, to: 31 },
  { from: 1, to: 12, names: MONTHS },
  { from: 0, to: 7, names: DAYS },
];

function numberOf(text: string, { from, to, names }: Field): number | undefined {
  const named = names?.indexOf(text.toLowerCase()) ?? -1;
  if (named >= 0) return named + (names === MONTHS ? 1 : 0);
  if (!/^\d{1,2}$/.test(text)) return undefined;
  const number = Number(text);
  return number >= from && number <= to ? number : undefined;
}

function isPart(part: string, field: Field): boolean {
  const [range = '', step, ...more] = part.split('/');
  if (more.length > 0) return false;
  if (step !== undefined && !(/^\d{1,2}$/.test(step) && Number(step) > 0)) return false;
  if (range === '*') return true;
  const [first = '', last, ...rest] = range.split('-');
  const start = numberOf(first, field);
  if (start === undefined || rest.length > 0) return false;
  // cron takes a step only of a range or of `*`.
  if (last === undefined) return step === undefined;
  const end = numberOf(last, field);
  return end !== undefined && start <= end;
}

/** Whether cron takes a text as a schedule: five fields, or one of its nicknames (crontab(5)). */
export function isSchedule(text: string): boolean {
  const trimmed = text.trim();
  if (trimmed.startsWith('@')) return NICKNAMES.includes(trimmed.toLowerCase());
  if (/[\n\r]/.test(trimmed)) return false;
  const fields = trimmed.split(/[ \t]+/);
  if (fields.length !== FIELDS.length) return false;
  return FIELDS.every((field, index) => (fields[index] ?? '').split(',').every((part) => isPart(part, field)));
}
