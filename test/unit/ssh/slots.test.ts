import { expect, it } from 'vitest';
import { startDeadline, unlessAborted } from '#ssh/deadline';
import { slots } from '#ssh/slots';

const never = new AbortController().signal;
const tick = () => new Promise((resolve) => setImmediate(resolve));

it('lets in no more than it may, in order, and the next as one leaves', async () => {
  const line = slots(2);
  const entered: number[] = [];
  const frees = [0, 1, 2, 3].map((index) =>
    line.take(never).then((free) => {
      entered.push(index);
      return free;
    }),
  );
  await tick();
  expect(entered).toEqual([0, 1]);
  const free = await frees[0];
  free?.();
  free?.();
  await tick();
  expect(entered).toEqual([0, 1, 2]);
  expect(line.taken).toBe(2);
});

it('lets a waiting one leave the line', async () => {
  const line = slots(1);
  const free = await line.take(never);
  const controller = new AbortController();
  const waiting = line.take(controller.signal);
  controller.abort(new Error('tired'));
  await expect(waiting).rejects.toThrow('tired');
  free();
  await expect(line.take(never)).resolves.toBeTypeOf('function');
});

it('shrinks to what the other side bears', async () => {
  const line = slots(8);
  const frees = await Promise.all([line.take(never), line.take(never), line.take(never)]);
  line.shrink();
  frees[0]?.();
  expect(line.taken).toBe(2);
  let entered = false;
  const next = line.take(never).then(() => {
    entered = true;
  });
  await tick();
  expect(entered).toBe(false);
  frees[1]?.();
  await next;
});

it('stops the clock while a person is asked', async () => {
  const deadline = startDeadline(
    0.05,
    undefined,
    () => new Error('late'),
    () => new Error('aborted'),
  );
  await deadline.paused(() => new Promise((resolve) => setTimeout(resolve, 150)));
  expect(deadline.signal.aborted).toBe(false);
  deadline.clear();
});

it('ends with the reason that came first', async () => {
  const deadline = startDeadline(
    0.01,
    undefined,
    () => new Error('late'),
    () => new Error('aborted'),
  );
  await expect(unlessAborted(new Promise(() => undefined), deadline.signal)).rejects.toThrow('late');
  const controller = new AbortController();
  controller.abort();
  const aborted = startDeadline(
    9,
    controller.signal,
    () => new Error('late'),
    () => new Error('aborted'),
  );
  await expect(unlessAborted(Promise.resolve(1), aborted.signal)).rejects.toThrow('aborted');
  aborted.clear();
});
