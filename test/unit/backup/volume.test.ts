import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { filesIn, literalPattern, sampleOf } from '#backup/volume/sample';
import { usersOf } from '#backup/volume/standstill';

describe('the containers that stand still', () => {
  const container = (name: string, source: string, state = 'running') => ({
    ...{ Id: name, Names: [`/${name}`], State: state },
    Mounts: [
      { Type: 'bind', Source: '/etc/hosts' },
      { Type: 'bind', Source: source },
    ],
  });
  const users = (root: string, ...all: readonly ReturnType<typeof container>[]) =>
    usersOf(root, all).map(({ Id }) => Id);

  test('are those that see the folder, one in it, or one that it is in', () => {
    const all = [
      container('same', '/srv/a'),
      container('in', '/srv/a/b'),
      container('above', '/srv'),
      container('all', '/'),
    ];
    expect(users('/srv/a', ...all)).toEqual(['same', 'in', 'above', 'all']);
  });

  test('are told by the name of a volume where its place is not listed, and nobody else has that name', () => {
    const unplaced = (name: string) => ({
      ...{ Id: name, Names: [`/${name}`], State: 'running' },
      Mounts: [{ Type: 'volume', Name: name, Source: '' }],
    });
    const all = [unplaced('4e757c'), unplaced('9d1b')];
    expect(usersOf('/var/lib/docker/volumes/4e757c/_data', all).map(({ Id }) => Id)).toEqual(['4e757c']);
    expect(usersOf('/srv/a', all)).toEqual([]);
  });

  test('and no others: none that has a like name, none that does not run', () => {
    expect(users('/srv/a', container('like', '/srv/ab'), container('stopped', '/srv/a', 'exited'))).toEqual([]);
  });
});

describe('a sample of files', () => {
  const file = fc.record({ path: fc.string(), size: fc.nat(1e9), mtime: fc.constant('2026-05-04T00:00:00Z') });

  test('is one in a hundred, a few at least, none twice, never more than can be read in a while', () => {
    void fc.assert(
      fc.property(
        fc.array(file, { maxLength: 1000 }),
        fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
        (files, numbers) => {
          const taken = sampleOf(files, () => numbers.next().value ?? 0);
          expect(new Set(taken).size).toBe(taken.length);
          expect(taken.length).toBeLessThanOrEqual(Math.max(3, Math.ceil(files.length / 100)));
          expect(taken.reduce((sum, { size }) => sum + size, 0)).toBeLessThanOrEqual(512e6);
          const small = files.map((one) => ({ ...one, size: 1 }));
          expect(sampleOf(small, Math.random).length).toBe(
            Math.min(files.length, Math.max(3, Math.ceil(files.length / 100))),
          );
        },
      ),
    );
  });

  test('is taken from the files of a snapshot alone', () => {
    const node = (type: string, path: string): string =>
      JSON.stringify({ struct_type: 'node', type, path, size: 3, mtime: '2026-05-04T00:00:00Z' });
    const text = [
      JSON.stringify({ struct_type: 'snapshot' }),
      node('dir', '/a'),
      node('file', '/a/b\nc'),
      node('symlink', '/a/d'),
    ].join('\n');
    expect(filesIn(`${text}\n`).map(({ path }) => path)).toEqual(['/a/b\nc']);
  });
});

test('a path that is a pattern stands for itself alone', () => {
  expect(literalPattern('/a/[b]*?\\c')).toBe('/a/\\[b\\]\\*\\?\\\\c');
});
