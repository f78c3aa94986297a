import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { pipeline } from '#core/pipeline';
import { run } from '#core/run';
import { scratch } from '#test/support/scratch';

const MANY = 8_000_000;

describe('a pipeline', () => {
  test('carries everything from a file through its programs into a file', async () => {
    const folder = scratch('pipeline');
    const [input, output] = [join(folder, 'in'), join(folder, 'out')];
    const bytes = Buffer.from(Array.from({ length: MANY }, (_, index) => (index * 7919) % 251));
    writeFileSync(input, bytes);
    const programs = [['zstd', '-q', '-c'], ['cat'], ['zstd', '-q', '-d', '-c']];
    const { ok, why } = await pipeline(programs, { input, output, timeout: 60 });
    expect({ ok, why }).toEqual({ ok: true, why: '' });
    expect(readFileSync(output).equals(bytes)).toBe(true);
  });

  test('keeps what the last program prints where no file takes it', async () => {
    const { stdout, ok } = await pipeline([['printf', 'b\\na\\n'], ['sort']], { timeout: 10 });
    expect({ stdout, ok }).toEqual({ stdout: 'a\nb\n', ok: true });
  });

  test('tells each line as it comes, and ends all programs when it is told to', async () => {
    const ending = new AbortController();
    const heard: string[] = [];
    const { ok, stdout } = await pipeline([['sh', '-c', 'echo one; echo two; exec sleep 60'], ['cat']], {
      timeout: 50,
      signal: ending.signal,
      hear: (line) => {
        heard.push(line);
        if (line === 'two') ending.abort();
      },
    });
    expect({ heard, ok, stdout }).toEqual({ heard: ['one', 'two'], ok: false, stdout: '' });
    const late = await pipeline([['sleep', '60']], { timeout: 50, signal: ending.signal });
    expect(late).toMatchObject({ ok: false, timedOut: false });
  });

  test('fails where any part fails, and says which and why', async () => {
    const first = await pipeline([['sh', '-c', 'echo half; echo disk on fire >&2; exit 3'], ['cat']], { timeout: 10 });
    expect(first).toMatchObject({ ok: false, stdout: 'half\n', why: 'sh failed (exit 3):\ndisk on fire' });
    const last = await pipeline([['yes'], ['sh', '-c', 'head -c 10 >/dev/null; exit 4']], { timeout: 10 });
    expect(last).toMatchObject({ ok: false, why: 'sh failed (exit 4)' });
  });

  test('a reader that ends early ends the writer, which counts as a failure', async () => {
    const { ok, why, timedOut } = await pipeline([['yes'], ['head', '-c', '10']], { timeout: 10 });
    expect({ ok, timedOut }).toEqual({ ok: false, timedOut: false });
    expect(why).toMatch(/^yes failed/);
  });

  test('a program that is not there fails, and leaves none of the others running', async () => {
    const programs = [['sleep', '86399'], ['there-is-no-such-program']];
    const { ok, why, timedOut } = await pipeline(programs, { timeout: 60 });
    expect({ ok, timedOut }).toEqual({ ok: false, timedOut: false });
    expect(why).toContain('there-is-no-such-program');
    expect((await run(['pgrep', '-f', '^sleep 86399'])).stdout).toBe('');
  });

  test('is killed whole at its deadline', async () => {
    const { ok, timedOut, why } = await pipeline([['sleep', '86398'], ['cat']], { timeout: 0.3 });
    expect({ ok, timedOut }).toEqual({ ok: false, timedOut: true });
    expect(why).toContain('sleep did not end within 0.3 s');
    expect((await run(['pgrep', '-f', '^sleep 86398'])).stdout).toBe('');
  });

  test('a file that cannot be opened rejects', async () => {
    const folder = scratch('pipeline');
    mkdirSync(join(folder, 'taken'));
    await expect(pipeline([['cat']], { input: join(folder, 'none'), timeout: 1 })).rejects.toThrow('ENOENT');
    await expect(pipeline([['true']], { output: join(folder, 'taken'), timeout: 1 })).rejects.toThrow('EISDIR');
  });
});
