import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hardLimit, nginxLimitsKind, raiseLimits, restoreLimits } from '#resources/nginx-limits';

const WANTED = { connections: 16_384, files: 32_768 };

// As Debian brings it.
const DEBIAN = `user www-data;
worker_processes auto;
error_log /var/log/nginx/error.log;
include /etc/nginx/modules-enabled/*.conf;

events {
	worker_connections 768;
	# multi_accept on;
}

http {
	map $x $y { default ';}'; }
}
`;

describe('the limits in nginx.conf', () => {
  test('are raised, remember what was there, and come back to the letter', () => {
    const raised = raiseLimits(DEBIAN, WANTED);
    expect(raised).toContain('\nworker_rlimit_nofile 32768; # Slipway\nevents {\n');
    expect(raised).toContain('\tworker_connections 16384; # Slipway; before: 768\n\t# multi_accept on;\n');
    expect(restoreLimits(raised, WANTED)).toBe(DEBIAN);
    const more = { connections: 20_000, files: 40_000 };
    const again = raiseLimits(raised, more);
    expect(again).toContain('worker_connections 20000; # Slipway; before: 768\n');
    expect(restoreLimits(again, more)).toBe(DEBIAN);
  });

  test.each([
    ['none', 'events {}', 'events {\n\tworker_connections 16384; # Slipway\n}'],
    [
      'more on its line',
      'events { worker_connections 9; use epoll; } # x',
      'events { worker_connections 16384; # Slipway; before: 9\n use epoll; } # x',
    ],
    [
      'a comment and a text in its way',
      '# events {\nenv "A=events {";\nevents { # worker_connections 1;\n}',
      'events {\n\tworker_connections 16384; # Slipway\n# worker_connections 1;\n}',
    ],
  ])('are put where there is %s', (_, text, expected) => {
    expect(raiseLimits(text, WANTED)).toContain(expected);
  });

  test('that are higher, or that are nowhere to be put, stay', () => {
    const high = 'worker_rlimit_nofile 90000;\nevents { worker_connections 20000; }\n';
    for (const text of [high, 'include elsewhere.conf;\n']) {
      expect(raiseLimits(text, WANTED)).toBe(text);
      expect(nginxLimitsKind.diff({ text, most: 40_000 }, WANTED)).toEqual([]);
      expect(restoreLimits(text, WANTED)).toBe(text);
    }
  });

  test('that the owner has changed since are the owner’s', () => {
    const changed = raiseLimits(DEBIAN, WANTED).replace('16384', '50000');
    expect(raiseLimits(changed, WANTED)).toBe(changed);
    expect(restoreLimits(changed, WANTED)).toContain('worker_connections 50000;');
  });

  test('rest once they are raised, whatever stands around them', () => {
    const piece = fc.constantFrom(
      ...['user x;\n', '# events {\n', 'http { server { events 1; } }\n', 'events { }\n', 'events {\n}\n', '\n'],
      ...['worker_rlimit_nofile 5; # mine\n', 'events { worker_connections 5; } ', "env 'a;b{';"],
    );
    void fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        const text = pieces.join('');
        const raised = raiseLimits(text, WANTED);
        expect(raiseLimits(raised, WANTED)).toBe(raised);
        expect(nginxLimitsKind.diff({ text: raised, most: 32_768 }, WANTED)).toEqual([]);
        const bare = (some: string) => some.replace(/\s+/g, '');
        expect(bare(restoreLimits(raised, WANTED))).toBe(bare(text));
      }),
    );
  });

  test('tell what changes, and ask for no more files than the machine allows', () => {
    const text =
      'Max processes 1 2 processes\nMax open files            1024                 20000                files\n';
    expect(hardLimit('Max open files unlimited unlimited files\n')).toBe(Number.POSITIVE_INFINITY);
    const [change] = nginxLimitsKind.diff({ text: DEBIAN, most: hardLimit(text) }, WANTED);
    expect(change?.summary).toBe('worker_connections 768 -> 16384, worker_rlimit_nofile unset -> 20000');
  });
});
