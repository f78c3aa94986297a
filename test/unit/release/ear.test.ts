import { afterEach, expect, test, vi } from 'vitest';
import { openEar, toldTo } from '#release/ear';

afterEach(() => {
  vi.useRealTimers();
});

const say = (release: string) => JSON.stringify({ release });

test('the laptop is heard in the order in which it is asked', async () => {
  const ear = openEar();
  ear.hear(say('start'));
  ear.hear('{"ways":[]}');
  ear.hear('no JSON');
  expect(await ear.hears('start')).toBe(true);
  const flips = ear.hears('flip');
  ear.hear(say('here'));
  ear.hear(say('flip'));
  expect(await flips).toBe(true);
  expect(ear.isAborted).toBe(false);
  ear.hear(say('abort'));
  expect(ear.isAborted).toBe(true);
  expect(await ear.hears('flip')).toBe(false);
});

test('a laptop that leaves is a no, but what it said before it left counts', async () => {
  const ear = openEar();
  const start = ear.hears('start');
  ear.hear(say('flip'));
  ear.hangUp();
  expect(ear.isGone).toBe(true);
  expect(await start).toBe(false);
  expect(await ear.hears('flip')).toBe(true);
  await expect(toldTo('start', { ear })).rejects.toMatchObject({ code: 'release-aborted', exitCode: 4 });
});

test('a laptop that falls silent is a no, one that gives signs of life is waited for', async () => {
  vi.useFakeTimers();
  const ear = openEar();
  let answer: boolean | undefined;
  void ear.hears('flip').then((heard) => {
    answer = heard;
  });
  for (let signs = 0; signs < 10; signs += 1) {
    await vi.advanceTimersByTimeAsync(20_000);
    ear.hear(say('here'));
  }
  expect(answer).toBeUndefined();
  expect(ear.isGone).toBe(false);
  await vi.advanceTimersByTimeAsync(31_000);
  expect(answer).toBe(false);
  expect(ear.isGone).toBe(true);
});
