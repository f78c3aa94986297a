import { describe, expect, test } from 'vitest';
import { narrator } from '#cli/narrator';
import type { EventBody } from '#protocol/event';

const ways = [
  { family: 4 as const, address: '203.0.113.7' },
  { family: 6 as const, address: '2001:db8::7' },
];
const ARMED: EventBody = { type: 'guard.armed', guard: 'g', seconds: 180, user: 'deploy', ways };

function told(isTTY: boolean, events: readonly EventBody[]): string {
  let text = '';
  const terminal = { isTTY, columns: 120, write: (more: string) => (text += more) };
  const audience = narrator(['vps'], terminal);
  for (const event of events) audience.event({ ...event, at: '', host: 'vps' });
  audience.end();
  return text;
}

describe('while the guard is armed', () => {
  test('a terminal counts the seconds down until it is disarmed', () => {
    const changed: EventBody = { type: 'resource.started', resource: 'file:/a', playbook: 'p' };
    const disarmed: EventBody = { type: 'guard.disarmed', guard: 'g', user: 'deploy', proven: [] };
    expect(told(true, [ARMED])).toMatch(/⛨ 180 s {2}changing what could lock you out/);
    expect(told(true, [ARMED, changed])).toMatch(/⛨ 180 s {2}file:\/a/);
    expect(told(true, [ARMED, disarmed, changed]).split('guard disarmed')[1]).not.toContain('180 s');
  });

  test('plain output says the deadline once, and then what was proven', () => {
    const proven = [
      { ...ways[0], through: 'fresh' as const },
      { ...ways[1], through: 'fresh' as const },
    ] as Extract<EventBody, { type: 'guard.disarmed' }>['proven'];
    const text = told(false, [ARMED, { type: 'guard.disarmed', guard: 'g', user: 'deploy', proven }]);
    expect(text).toBe(
      '    ⛨ guard armed: the host undoes this in 180 s unless fresh logins as deploy work over IPv4 and IPv6\n' +
        '    ⛨ guard disarmed: a fresh login with sudo was proven: deploy@203.0.113.7 (IPv4), deploy@2001:db8::7 (IPv6)\n',
    );
  });

  test('what only the open connection has proven is said to be so', () => {
    const proven = [{ family: 4 as const, address: '203.0.113.7', through: 'open' as const }];
    const text = told(false, [{ type: 'guard.disarmed', guard: 'g', user: 'deploy', proven }]);
    expect(text).not.toContain('fresh login with sudo');
    expect(text).toContain('no fresh login reaches the host over IPv4, as was asked for');
  });
});
