import { createHash } from 'node:crypto';
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { follow, isAsItSays } from '#backup/postgres/follow';
import { scratch } from '#test/support/scratch';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const pieces = fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 4 });

describe('following files that are written', () => {
  test('hashes all of each, however slowly they are written, and whenever they are begun', async () => {
    const all = scratch('follow');
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(pieces, { maxLength: 5 }), fc.array(fc.boolean()), async (files, pauses) => {
        runs += 1;
        const folder = join(all, String(runs));
        const { see, end } = follow(folder);
        let step = 0;
        const pause = async () => {
          step += 1;
          if (pauses[step % pauses.length] === true) await sleep(step % 8);
        };
        see('base/');
        mkdirSync(join(folder, 'base'), { recursive: true });
        for (const [index, parts] of files.entries()) {
          const name = `base/${index}`;
          see(name);
          await pause();
          writeFileSync(join(folder, name), '');
          for (const part of parts) {
            appendFileSync(join(folder, name), part);
            await pause();
          }
        }
        const wanted = files.map((parts, index) => [`base/${index}`, sha256(Buffer.concat(parts))]);
        expect([...(await end())]).toEqual(wanted);
      }),
      { numRuns: 40 },
    );
  });

  test('has no hash of what is not there or cannot be read', async () => {
    const folder = scratch('follow');
    mkdirSync(join(folder, 'folder'));
    const { see, end } = follow(folder);
    see('absent');
    see('folder');
    expect((await end()).size).toBe(0);
  });
});

describe('what a manifest says of files', () => {
  const entry = (path: string, text: string, algorithm = 'SHA256') => ({
    Path: path,
    Size: text.length,
    'Checksum-Algorithm': algorithm,
    Checksum: sha256(Buffer.from(text)),
  });
  const judge = (files: readonly object[], digests: Readonly<Record<string, string>>): Promise<boolean> => {
    const folder = scratch('manifest');
    writeFileSync(join(folder, 'backup_manifest'), JSON.stringify({ Files: files }));
    return isAsItSays(folder, new Map(Object.entries(digests)));
  };

  test('is so where all that it names have the hashes, whatever else there is', async () => {
    const digests = { one: sha256(Buffer.from('1')), two: sha256(Buffer.from('2')), more: '' };
    expect(await judge([entry('one', '1'), entry('two', '2')], digests)).toBe(true);
  });

  test('is not so where one differs, is missing, is hashed otherwise or named otherwise, or without a manifest', async () => {
    const digests = { one: sha256(Buffer.from('1')) };
    expect(await judge([entry('one', '2')], digests)).toBe(false);
    expect(await judge([entry('one', '1'), entry('two', '2')], digests)).toBe(false);
    expect(await judge([entry('one', '1', 'CRC32C')], digests)).toBe(false);
    expect(await judge([{ 'Encoded-Path': '6f6e65', Size: 1 }], digests)).toBe(false);
    expect(await isAsItSays(scratch('manifest'), new Map())).toBe(false);
  });
});
