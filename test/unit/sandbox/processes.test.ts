import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { childrenOf, ended, identify, isRunning, signal } from '../../../src/sandbox/processes.ts';

test('a process is found again, and only that one', async () => {
  const child = spawn('sleep', ['60']);
  await once(child, 'spawn');
  const id = await identify(child.pid ?? 0);
  if (id === undefined) throw new Error('the process is not there');
  expect(await childrenOf(process.pid)).toContain(id.pid);
  expect(await isRunning(id)).toBe(true);
  expect(await isRunning({ ...id, startTime: id.startTime + 1 })).toBe(false);

  await signal({ ...id, startTime: id.startTime + 1 }, 'SIGKILL');
  expect(await isRunning(id)).toBe(true);
  await signal(id, 'SIGKILL');
  expect(await ended(id, 5)).toBe(true);
  await signal(id, 'SIGKILL');
});

test('a process that does not end is not waited for for ever', async () => {
  const self = await identify(process.pid);
  expect(self === undefined ? true : await ended(self, 0.05)).toBe(false);
});

test('no process, no identity', async () => {
  expect(await identify(2 ** 22 + 1)).toBeUndefined();
});
