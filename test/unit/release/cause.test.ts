import { expect, test } from 'vitest';
import { causeOfEnd, causeOfNoStart, causeOfRefusal } from '#release/cause';
import type { Inspected } from '#release/containers';
import type { Door } from '#release/door';
import { availableMemory, usedMemory } from '#release/preflight';
import { inOrder } from '#release/start';

const door: Door = { service: 'web', addresses: [], port: 3000, path: '/up', domain: 'a.test', route: '/' };

test.each([
  [[{ address: '127.0.0.1', port: 3000 }], /listens on 127\.0\.0\.1:3000 only/, /0\.0\.0\.0/],
  [[{ address: '::1', port: 3000 }], /listens on ::1:3000 only/, /0\.0\.0\.0/],
  [[{ address: '::', port: 8080 }], /wrong port, the app listens on port 8080/, /web:8080/],
  [
    [
      { address: '0.0.0.0', port: 8080 },
      { address: '127.0.0.1', port: 9 },
    ],
    /listens on port 8080/,
    /web:8080/,
  ],
  [
    [
      { address: '127.0.0.1', port: 3000 },
      { address: '::', port: 3000 },
    ],
    /only just begun to listen/,
    /healthTimeout/,
  ],
  [[], /nothing listens/, /healthTimeout/],
])('a refusal where %j listens', (found, why, fix) => {
  const cause = causeOfRefusal('web', door, found);
  expect(cause.why).toMatch(why);
  expect(cause.fix).toMatch(fix);
});

const container = (state: Partial<Inspected['State']>, memory = 0): Inspected =>
  ({
    Id: 'x',
    Name: '/web',
    RestartCount: 0,
    State: { Status: 'exited', OOMKilled: false, ExitCode: 1, Error: '', Pid: 0, ...state },
    HostConfig: { Memory: memory },
  }) as Inspected;

test('an end is told by its kind', () => {
  expect(causeOfEnd(container({ OOMKilled: true, ExitCode: 137 }, 64 * 1024 ** 2)).why).toMatch(
    /ran out of memory.*64/,
  );
  expect(causeOfEnd(container({ ExitCode: 137 })).why).toMatch(/exit 137.*memory of the host/);
  expect(causeOfEnd(container({ ExitCode: 2 })).why).toMatch(/crashed.*exit 2/);
});

// As Docker 26 words them.
test.each([
  [
    'failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "nope": executable file not found in $PATH: unknown',
    /no program nope/,
  ],
  ['unable to start container process: exec: "/app/run": permission denied: unknown', /may not be executed/],
  ['exec /app/run: exec format error', /another processor/],
  ['something else', /never started: something else/],
])('a container that never started: %s', (said, why) => {
  expect(causeOfNoStart('web', said).why).toMatch(why);
});

test('memory is what the kernel would give, and what a container would not give back', () => {
  expect(availableMemory('MemTotal: 9 kB\nMemAvailable:   100 kB\nSwapFree:   20 kB\n')).toBe(120 * 1024);
  expect(usedMemory({ memory_stats: { usage: 100, stats: { inactive_file: 30 } } })).toBe(70);
  expect(usedMemory({ memory_stats: {} })).toBe(0);
});

test('containers start after what they depend on', () => {
  const one = (service: string, after: string): Inspected =>
    ({
      Config: { Labels: { 'com.docker.compose.service': service, 'com.docker.compose.depends_on': after } },
    }) as never;
  const groups = inOrder([
    one('c', 'b:service_started:false'),
    one('a', ''),
    one('b', 'a:service_started:false,db:x:false'),
  ]);
  const names = groups.map((group) => group.map(({ Config }) => Config.Labels['com.docker.compose.service']));
  expect(names).toEqual([['a'], ['b'], ['c']]);
});
