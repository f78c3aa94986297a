import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { fewAtOnce } from '#core/few-at-once';

test('no more than so many run at once, and what they give keeps their order', async () => {
  let running = 0;
  let most = 0;
  const doubled = await fewAtOnce(3, [1, 2, 3, 4, 5, 6, 7], async (one) => {
    running += 1;
    most = Math.max(most, running);
    await sleep(8 - one);
    running -= 1;
    return one * 2;
  });
  expect({ doubled, most }).toEqual({ doubled: [2, 4, 6, 8, 10, 12, 14], most: 3 });
});

test('after one that fails nothing new begins, and nobody is left at work', async () => {
  const begun: number[] = [];
  const ended: number[] = [];
  const all = fewAtOnce(2, [1, 2, 3, 4], async (one) => {
    begun.push(one);
    if (one === 1) throw new Error('the first');
    await sleep(20);
    ended.push(one);
  });
  await expect(all).rejects.toThrow('the first');
  expect({ begun, ended }).toEqual({ begun: [1, 2], ended: [2] });
});
