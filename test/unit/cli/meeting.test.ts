import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { divergence, Meeting, withEchoes } from '#cli/meeting';
import { DeployError } from '#core/errors';
import type { Event, EventBody } from '#protocol/event';
import type { HostSession } from '#ssh/operation';

/** A host of a meeting that notes what it is told. */
function attending(meeting: Meeting, name: string) {
  const words: string[] = [];
  const attendance = meeting.attend(name);
  const sayOfRelease = async (word: string) => void words.push(word);
  const session = { sayOfRelease } as unknown as HostSession;
  return {
    words,
    end: attendance.end,
    tell: (body: EventBody) => attendance.hear({ at: '', ...body } as Event, session),
  };
}

const about = { app: 'shop', release: 'r2', tag: 'v2', slot: 'green' } as const;
const begun = { type: 'operation.started', verb: 'up', app: 'shop', environment: 'prod', by: 'ana@laptop' } as const;
const commanded = { type: 'release.state', ...about, state: 'commanded' } as const;
const ready = { type: 'release.ready', ...about } as const;
const flipped = { type: 'release.flipped', ...about, seconds: 1 } as const;
const nothing: EventBody = { type: 'plan', steps: [], unchanged: 9 };

test('nobody flips before all are ready', async () => {
  const meeting = new Meeting(['a', 'b'], false);
  const [a, b] = [attending(meeting, 'a'), attending(meeting, 'b')];
  a.tell(ready);
  await turn();
  expect(a.words).toEqual([]);
  b.tell(ready);
  await turn();
  expect([a.words, b.words]).toEqual([['flip'], ['flip']]);
  for (const host of [a, b]) host.end(true);
});

test('one that fails calls all others off, also those that come later', async () => {
  const meeting = new Meeting(['a', 'b', 'c'], false);
  const [a, b, c] = ['a', 'b', 'c'].map((name) => attending(meeting, name)) as [
    ReturnType<typeof attending>,
    ReturnType<typeof attending>,
    ReturnType<typeof attending>,
  ];
  a.tell(ready);
  b.end(false);
  c.tell(begun);
  await turn();
  expect(a.words).toContain('abort');
  expect(a.words).not.toContain('flip');
  expect(c.words).toEqual(['abort']);
  for (const host of [a, c]) host.end(false);
});

test('the others start once the release command has ended where it runs', async () => {
  const meeting = new Meeting(['a', 'b'], true);
  expect([meeting.askedOf('a').commandElsewhere, meeting.askedOf('b').commandElsewhere]).toEqual([undefined, true]);
  const [a, b] = [attending(meeting, 'a'), attending(meeting, 'b')];
  a.tell(begun);
  b.tell(begun);
  await turn();
  expect(b.words).toEqual([]);
  a.tell(commanded);
  await turn();
  expect(b.words).toEqual(['start']);
  for (const host of [a, b]) host.end(true);
});

test('where the host of the command serves the release already, nobody waits for it', async () => {
  const meeting = new Meeting(['a', 'b'], true);
  const [a, b] = [attending(meeting, 'a'), attending(meeting, 'b')];
  b.tell(begun);
  a.tell(nothing);
  await turn();
  expect(b.words).toEqual(['start']);
  b.tell(ready);
  await turn();
  expect(b.words).toEqual(['start', 'flip']);
  // What fails there afterwards has nothing to do with the release.
  a.end(false);
  b.tell(flipped);
  expect(b.words).not.toContain('abort');
  b.end(true);
});

test('one that is taken back, or is lost before it has flipped, is taken back on all', async () => {
  for (const how of ['taken back', 'lost'] as const) {
    const meeting = new Meeting(['a', 'b'], false);
    const [a, b] = [attending(meeting, 'a'), attending(meeting, 'b')];
    a.tell(ready);
    b.tell(ready);
    await turn();
    a.tell(flipped);
    if (how === 'lost') b.end(false);
    else {
      b.tell(flipped);
      b.tell({ type: 'release.taken-back', ...about, why: 'errors' });
    }
    expect(a.words).toEqual(['flip', 'abort']);
    for (const host of [a, b]) host.end(false);
  }
});

test('a failure that is the echo of another is told as such', () => {
  const error = (code: 'release-aborted' | 'disk-full') => new DeployError(code, code, { hint: '' });
  const results = withEchoes([
    { host: 'a', error: error('release-aborted') },
    { host: 'b', error: error('disk-full') },
    { host: 'c', error: undefined },
  ]);
  expect(results.map((result) => result.error?.code)).toEqual(['other-host-failed', 'disk-full', undefined]);
  expect(results[0]?.error?.message).toContain('since b failed');
  expect(withEchoes([{ host: 'a', error: error('release-aborted') }])[0]?.error?.code).toBe('release-aborted');
});

test('hosts that serve different releases are named', () => {
  const error = new DeployError('release-aborted', '', { hint: '' });
  const [on, off] = [
    { host: 'a', changed: true, error: undefined },
    { host: 'b', changed: false, error },
  ];
  expect(divergence([on, off])).toMatch(/new release on a, and maybe not on b/);
  expect(divergence([on])).toBeUndefined();
  expect(divergence([off])).toBeUndefined();
  expect(divergence([on, { host: 'b', changed: false, error: undefined }])).toBeUndefined();
});
