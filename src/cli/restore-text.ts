import type { Paint } from '#cli/paint';
import { formatBytes, formatSeconds } from '#core/units';
import type { Event } from '#protocol/event';

type Of<Type extends Event['type']> = Extract<Event, { type: Type }>;

/** How much of a copy's id is enough to know it by. */
const ID = 16;

/** A moment as a person reads it, to the second. */
export function momentText(iso: string): string {
  return `${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC`;
}

/** What a restoration would come to. */
export function previewText(event: Of<'restore.previewed'>, paint: Paint): string[] {
  const { source, reaches, loses, base, bytes, tag } = event;
  if (tag !== undefined) {
    const lost = paint.yellow(`${formatSeconds(loses)} of data are lost`);
    return [
      `  ${paint.bold(tag)} serves again, with ${source} as it was when it was replaced, at ${momentText(reaches)}: ${lost}`,
    ];
  }
  const loss =
    loses < 1
      ? 'nothing that is in the repository is left out'
      : `${formatSeconds(loses)} of data after it are left out`;
  return [
    `  ${paint.bold(source)} as it was at ${paint.bold(momentText(reaches))}: ${loses < 1 ? loss : paint.yellow(loss)}`,
    paint.dim(`    from the copy ${base.slice(0, ID)}, ${formatBytes(bytes)} on disk`),
  ];
}

/** What a restoration came to, and what can be done with it. */
export function restoredText(event: Of<'restore.done'>, host: string, paint: Paint): string[] {
  const { source, reached, into, path, before, look, leave, duration } = event;
  const typed = (words: string, commands: readonly string[]): string[] =>
    commands.length === 0 ? [] : [`    ${words}`, ...commands.map((command) => `      ${command}`)];
  const where =
    into === 'scratch'
      ? `lies beside what runs, in ${path}`
      : `serves; what was there before is in ${before ?? 'no place'}`;
  return [
    `  ${paint.green('✓')} ${paint.bold(source)} as it was at ${paint.bold(momentText(reached))} ${where}${paint.dim(`  ${formatSeconds(duration)}`)}`,
    ...typed(`look into it, on ${host} as root:`, look),
    ...typed(into === 'scratch' ? 'remove it:' : `go back to what was there before, on ${host} as root:`, leave),
  ];
}
