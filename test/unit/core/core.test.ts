import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DeployError } from '#core/errors';
import { commandLine, quote } from '#core/quote';
import { REDACTED, redactDeep, redactor } from '#core/redact';
import { run } from '#core/run';
import { formatBytes, formatSeconds, parseDuration, parseSize } from '#core/units';

describe('quote', () => {
  test('whatever the words, a POSIX shell reads them back as they were', async () => {
    const words = fc.array(
      fc.string({ unit: 'grapheme', maxLength: 20 }).filter((word) => !word.includes('\0')),
      { maxLength: 5 },
    );
    await fc.assert(
      fc.asyncProperty(words, async (list) => {
        const script = `for word in ${commandLine(list)}; do printf '%s\\0' "$word"; done`;
        const { stdout } = await run(['dash', '-c', script]);
        expect(stdout.split('\0').slice(0, -1)).toEqual(list);
      }),
      { numRuns: 25 },
    );
  });

  test('plain words stay as they are', () => {
    expect(quote('/etc/nginx/nginx.conf')).toBe('/etc/nginx/nginx.conf');
    expect(quote('')).toBe("''");
  });
});

describe('run', () => {
  test('arguments reach the program as they are, and no shell reads them', async () => {
    const { stdout } = await run(['printf', '%s|', "$HOME `id` 'x'", 'a\nb']);
    expect(stdout).toBe("$HOME `id` 'x'|a\nb|");
  });

  test('a failure resolves with its exit code', async () => {
    expect((await run(['sh', '-c', 'echo no >&2; exit 3'])).exitCode).toBe(3);
    expect((await run(['there-is-no-such-program'])).exitCode).toBe(127);
  });

  test('a program past its deadline is killed', async () => {
    const output = await run(['sleep', '30'], { timeout: 0.2 });
    expect(output.timedOut).toBe(true);
    expect(output.exitCode).toBeNull();
  });

  test('a program that reads none of its input ends as it would', async () => {
    const runs = await Promise.all(Array.from({ length: 20 }, () => run(['true'], { input: 'x'.repeat(1_000_000) })));
    expect(runs.map(({ exitCode }) => exitCode)).toEqual(runs.map(() => 0));
  });

  test('input arrives whole, whatever its characters', async () => {
    const input = 'zażółć 🚢\n'.repeat(20_000);
    expect((await run(['cat'], { input })).stdout).toBe(input);
  });
});

describe('redact', () => {
  test('a secret is blanked out in every form it may take', () => {
    const secret = 'p@ss "word"/1';
    const redact = redactor([secret]);
    for (const form of [
      secret,
      JSON.stringify(secret),
      encodeURIComponent(secret),
      Buffer.from(secret).toString('base64'),
    ]) {
      expect(redact(`x ${form} y`)).not.toContain(form);
      expect(redact(`x ${form} y`)).toContain(REDACTED);
    }
  });

  test('no string inside a value keeps it', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 4 }), fc.jsonValue(), (secret, value) => {
        const holding = { value, deep: [{ note: `a${secret}b` }] };
        const shown = redactDeep(holding, redactor([secret]));
        expect(shown.deep[0]?.note).not.toBe(`a${secret}b`);
      }),
    );
  });
});

describe('units', () => {
  test.each([
    ['60s', 60],
    ['5m', 300],
    ['30d', 2_592_000],
    ['250ms', 0.25],
  ])('%s is %d seconds', (text, seconds) => {
    expect(parseDuration(text)).toBeCloseTo(seconds);
  });

  test.each([
    ['512mb', 512 * 1024 ** 2],
    ['1.5gb', 1.5 * 1024 ** 3],
  ])('%s is %d bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  test('what has no unit is no duration and no size', () => {
    expect(parseDuration('60')).toBeUndefined();
    expect(parseSize('12 parsecs')).toBeUndefined();
  });

  test('they read well', () => {
    expect([formatSeconds(0.84), formatSeconds(64), formatSeconds(184)]).toEqual(['0.8 s', '64 s', '3 min 4 s']);
    expect([formatBytes(900), formatBytes(1536), formatBytes(3 * 1024 ** 3)]).toEqual(['900 B', '1.5 kB', '3.0 GB']);
  });
});

test('an error keeps the place it is given first', () => {
  const error = new DeployError('command-failed', 'no', { hint: 'Do.', resource: 'file:/a' }).at({
    host: 'web',
    resource: 'file:/b',
  });
  expect([error.host, error.resource]).toEqual(['web', 'file:/a']);
});
