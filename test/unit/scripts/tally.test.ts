import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { scratch } from '#test/support/scratch';

/** Each file's tests, by whether they passed; null where the file could not be loaded. */
type Results = Readonly<Record<string, Readonly<Record<string, boolean>> | null>>;

/** What a script prints for reports as Vitest writes them, and how it ends. */
function say(script: 'tally' | 'failed', before: readonly string[], ...runs: readonly Results[]) {
  const folder = scratch('reports');
  const reports = runs.map((run, index) => {
    const testResults = Object.entries(run).map(([file, tests]) => ({
      name: join(process.cwd(), file),
      message: tests === null ? 'it throws' : '',
      status: tests !== null && Object.values(tests).every(Boolean) ? 'passed' : 'failed',
      assertionResults: Object.entries(tests ?? {}).map(([fullName, passed]) => ({
        fullName,
        status: passed ? 'passed' : 'failed',
      })),
    }));
    const report = join(folder, `${index}`);
    writeFileSync(report, JSON.stringify({ testResults }));
    return report;
  });
  const absent = join(folder, 'absent');
  const { status, stdout } = spawnSync('node', [`scripts/${script}.mjs`, ...before, ...reports, absent], {
    encoding: 'utf8',
  });
  return { status, lines: stdout.trimEnd().split('\n') };
}

const GREEN: Results = { 'test/unit/a.test.ts': { a: true }, 'test/host/b.test.ts': { b: true, c: true } };

test('everything passed', () => {
  expect(say('tally', ['0'], GREEN)).toEqual({ status: 0, lines: ['3 passed, 0 failed'] });
});

test('what fails is named and counted, and so is a file that cannot be loaded', () => {
  const { status, lines } = say('tally', ['1'], { ...GREEN, 'test/unit/d.test.ts': { d: false }, 'e.test.ts': null });
  expect(status).toBe(1);
  expect(lines).toEqual([
    'failed: d',
    expect.stringMatching(/^failed: .*e\.test\.ts: it throws$/),
    '3 passed, 2 failed',
  ]);
});

test('a run that ended badly is red, whatever it reported', () => {
  expect(say('tally', ['1'], GREEN)).toEqual({ status: 1, lines: ['3 passed, 1 failed'] });
  expect(say('tally', ['0'])).toMatchObject({ status: 1 });
  expect(say('tally', ['0'], {})).toMatchObject({ status: 1 });
});

test('what failed once and then passed is told, and what failed again has failed', () => {
  const first = { ...GREEN, 'test/host/b.test.ts': { b: false, c: true }, 'test/e2e/f.test.ts': { f: false } };
  const second = { 'test/host/b.test.ts': { b: true, c: true }, 'test/e2e/f.test.ts': { f: false } };
  const { status, lines } = say('tally', ['1'], first, second);
  expect(status).toBe(1);
  expect(lines).toEqual(['failed: f', expect.stringMatching(/^failed once, .*: b$/), '3 passed, 1 failed']);
});

test('only files of real hosts are run again, and only few', () => {
  const host = (name: string): Results => ({ [`test/host/${name}.test.ts`]: { [name]: false } });
  expect(say('failed', [], { ...GREEN, ...host('g') }).lines).toEqual(['test/host/g.test.ts']);
  expect(say('failed', [], GREEN).lines).toEqual(['']);
  expect(say('failed', [], { ...host('g'), 'test/unit/h.test.ts': { h: false } }).lines).toEqual(['']);
  expect(say('failed', [], { ...host('g'), ...host('i'), ...host('j'), ...host('k') }).lines).toEqual(['']);
});
