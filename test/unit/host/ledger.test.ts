import fc from 'fast-check';
import { expect, test } from 'vitest';
import { entriesOf, findBreak, hashOf } from '#host/ledger';

function ledger(count: number): string {
  let previousHash = '';
  const lines = Array.from({ length: count }, (_, index) => {
    const args = { release: `r${index}`, tag: 'v1' };
    const content = {
      seq: index + 1,
      at: '2026-01-01T00:00:00.000Z',
      who: 'me@here',
      op: 'release',
      args,
      result: 'done',
      previousHash,
    };
    previousHash = hashOf(content);
    return JSON.stringify({ ...content, hash: previousHash });
  });
  return lines.map((text) => `${text}\n`).join('');
}

test('a ledger that nobody touched is whole', () => {
  expect(findBreak('')).toBeUndefined();
  expect(findBreak(ledger(4))).toBeUndefined();
  expect(entriesOf(ledger(4)).map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
});

test('any byte that is changed names the entry it belongs to', () => {
  const text = ledger(4);
  fc.assert(
    fc.property(fc.nat(text.length - 2), fc.constantFrom(...'0aZ"{} \\'), (at, letter) => {
      fc.pre(text[at] !== letter && text[at] !== '\n');
      const seq = text.slice(0, at).split('\n').length;
      return findBreak(text.slice(0, at) + letter + text.slice(at + 1))?.seq === seq;
    }),
  );
});

test('a line that is missing, doubled or moved is found', () => {
  const [a = '', b = '', c = ''] = ledger(3).split('\n');
  expect(findBreak([a, c].join('\n'))).toEqual({ seq: 2, why: 'it does not follow the entry before it' });
  expect(findBreak([a, a, b].join('\n'))?.seq).toBe(2);
  expect(findBreak([b, a].join('\n'))?.seq).toBe(1);
  expect(findBreak([a, b.slice(0, 40)].join('\n'))).toEqual({ seq: 2, why: 'it cannot be read as an entry' });
});
