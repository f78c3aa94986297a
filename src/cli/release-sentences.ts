import type { Paint } from '#cli/paint';
import { formatSeconds } from '#core/units';
import type { Event } from '#protocol/event';

/** Seconds as those who measure latency read them: `34 ms`. */
export function asMilliseconds(seconds: number): string {
  return seconds >= 10 ? formatSeconds(seconds) : `${Math.round(seconds * 1000)} ms`;
}

/** What an event of a release says to a person; nothing for those that only machines need. */
export function releaseSentences(event: Event, paint: Paint): string[] {
  const done = (text: string) => [`    ${paint.green('✓')} ${text}`];
  switch (event.type) {
    case 'release.state':
      if (event.state === 'gated') return done(`${event.tag} answers well in the ${event.slot} slot`);
      if (event.state === 'held') return done('requests wait while the old version is stopped and the new one started');
      return [];
    case 'release.flipped': {
      const until = event.from === undefined ? '' : paint.dim(` (${event.from} until now)`);
      return done(`${paint.bold(`requests go to ${event.tag}`)}${until}`);
    }
    case 'release.resumed':
      return done(`requests waited for ${formatSeconds(event.seconds)} and go on to ${event.tag}`);
    case 'release.canary':
      return done(
        `${paint.bold(`${event.percent} % of the clients get ${event.tag}`)}${paint.dim(` (the others ${event.from})`)}`,
      );
    case 'release.paused':
      return done(`${event.tag} stays at ${event.canary.percent} % of the clients until somebody says how it goes on`);
    case 'release.watched': {
      const { now, before, seconds, percent } = event;
      const errors = now.errors === 0 ? 'no error' : `${now.errors} errors`;
      const latency = now.requests === 0 ? '' : `, p99 ${asMilliseconds(now.p99)}`;
      const then =
        before.requests === 0 || now.requests === 0
          ? ''
          : ` (${asMilliseconds(before.p99)} ${percent === undefined ? 'before' : 'in the old slot'})`;
      return done(
        `watched for ${formatSeconds(seconds)}: ${now.requests} requests, ${errors}${latency}${paint.dim(then)}`,
      );
    }
    case 'release.taken-back':
      return [paint.red(`    ✗ ${event.tag} was taken back: ${event.why}`)];
    case 'release.drained': {
      if (event.left === 0) return done(`${event.tag} has finished its requests in ${formatSeconds(event.seconds)}`);
      return [
        paint.yellow(
          `    ! ${event.left} connections to ${event.tag} were still open after ${formatSeconds(event.seconds)}`,
        ),
      ];
    }
    case 'build.output':
      return [paint.dim(`      ${event.line}`)];
    default:
      return [];
  }
}
