import { mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { BrokenCopy, nameOfSealed, seal, unseal } from '#backup/seal';
import { run } from '#core/run';
import { scratch } from '#test/support/scratch';

const folder = scratch('seal');
const key = join(folder, 'key');
const other = join(folder, 'other');
let recipient: string;

async function makeKey(path: string): Promise<string> {
  expect((await run(['age-keygen', '-o', path])).exitCode).toBe(0);
  return (await run(['age-keygen', '-y', path])).stdout.trim();
}

/** Files with these texts, sealed. */
async function sealed(name: string, texts: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const files = Object.entries(texts).map(([file, text]) => {
    const path = join(folder, 'plain', file);
    writeFileSync(path, text);
    return path;
  });
  return seal(recipient, files, join(folder, name));
}

async function brokenBy(files: readonly string[], by = key): Promise<BrokenCopy> {
  const error = await unseal(by, files, join(folder, 'opened')).catch((thrown) => thrown);
  expect(error).toBeInstanceOf(BrokenCopy);
  return error;
}

beforeAll(async () => {
  mkdirSync(join(folder, 'plain'));
  recipient = await makeKey(key);
  await makeKey(other);
});

describe('sealing', () => {
  test('what is opened is what was sealed, for many files and for an empty one', async () => {
    const texts = Object.fromEntries(
      Array.from({ length: 9 }, (_, index) => [`00000001000000000000000${index}`, 'wal '.repeat(index * 10_000)]),
    );
    const files = await sealed('many', texts);
    expect(files.map((file) => nameOfSealed(file)?.plain)).toEqual(Object.keys(texts));
    expect(readdirSync(join(folder, 'many')).sort()).toEqual(files.map((file) => basename(file)).sort());
    const opened = await unseal(key, files, join(folder, 'out'));
    expect(opened.map((file) => [basename(file), readFileSync(file, 'utf8')])).toEqual(Object.entries(texts));
    expect(statSync(opened[0] ?? '').mode & 0o077).toBe(0);
  });

  test('nothing of it can be read without the key, and little of it is stored', async () => {
    const [file = ''] = await sealed('secret', { secret: 'a row of a customer\n'.repeat(10_000) });
    const bytes = readFileSync(file);
    expect(bytes.includes('customer')).toBe(false);
    expect(bytes.length).toBeLessThan(2000);
  });

  test('a name says what was sealed, whatever dots it has', () => {
    const digest = '0123456789abcdef';
    const plain = '000000010000000000000003.partial-0000000003000060';
    expect(nameOfSealed(`/a/b/${plain}.${digest}.zst.age`)).toEqual({ plain, digest });
    expect(nameOfSealed(`${plain}.zst.age`)).toBeUndefined();
    expect(nameOfSealed(`.${plain}.part`)).toBeUndefined();
  });

  test('a file that cannot be sealed leaves nothing behind that looks sealed', async () => {
    await expect(seal(recipient, [join(folder, 'nowhere')], join(folder, 'none'))).rejects.toThrow('ENOENT');
    writeFileSync(join(folder, 'fine'), 'fine');
    await expect(seal('age1nobody', [join(folder, 'fine')], join(folder, 'none'))).rejects.toMatchObject({
      code: 'backup-failed',
    });
    expect(readdirSync(join(folder, 'none'))).toEqual([]);
  });
});

describe('opening says what is wrong, and with which object', () => {
  test('one that is not there', async () => {
    const [file = ''] = await sealed('absent', { absent: 'a' });
    const gone = file.replace('absent.', 'gone.');
    const broken = await brokenBy([file, gone]);
    expect(broken).toMatchObject({ code: 'copy-broken', fault: 'absent', object: basename(gone) });
    expect(broken.message).toContain(basename(gone));
  });

  test('one flipped bit, wherever it is', async () => {
    const [file = ''] = await sealed('flipped', { flipped: 'text of a table\n'.repeat(50) });
    const bytes = readFileSync(file);
    for (const at of [0, 60, bytes.length >> 1, bytes.length - 1]) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      writeFileSync(file, changed);
      expect(await brokenBy([file])).toMatchObject({ fault: 'changed', object: basename(file) });
    }
  });

  test('one cut short, or of another name', async () => {
    const [one = '', two = ''] = await sealed('cut', { one: 'first', two: 'second' });
    writeFileSync(two, readFileSync(one));
    expect(await brokenBy([two])).toMatchObject({ fault: 'changed', object: basename(two) });
    truncateSync(one, statSync(one).size - 1);
    expect(await brokenBy([one])).toMatchObject({ fault: 'changed', object: basename(one) });
  });

  test('one that another key has sealed', async () => {
    const [file = ''] = await sealed('foreign', { foreign: 'a' });
    const broken = await brokenBy([file], other);
    expect(broken).toMatchObject({ fault: 'undecryptable', object: basename(file) });
    expect(readdirSync(join(folder, 'opened'))).not.toContain('foreign');
  });
});
