import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { contextParcel } from '#images/context';
import { scratch } from '#test/support/scratch';

const context = scratch('context');
const settings = { context, dockerfile: 'Dockerfile', args: { A: '1', B: '2' }, target: undefined };

function put(path: string, content: string): void {
  mkdirSync(dirname(join(context, path)), { recursive: true });
  writeFileSync(join(context, path), content);
}

async function listing(): Promise<readonly string[]> {
  const parcel = await contextParcel('acme/shop:1', settings);
  const chunks: Buffer[] = [];
  for await (const chunk of await parcel.read(parcel.offered.pin, () => undefined)) chunks.push(chunk);
  const listed = execFileSync('tar', ['-tzf', '-'], { input: Buffer.concat(chunks), encoding: 'utf8' });
  return listed.trim().split('\n').sort();
}

const pinOf = async (more: Partial<typeof settings> = {}) =>
  (await contextParcel('acme/shop:1', { ...settings, ...more })).offered.pin;

test('what is built from travels, and nothing that is left out', async () => {
  await expect(pinOf()).rejects.toThrow(/no Dockerfile/);
  put('Dockerfile', 'FROM scratch\n');
  put('src/app.js', 'hello\n');
  put('node_modules/x/index.js', 'x');
  put('docs/a.md', 'a');
  put('docs/README.md', 'read me');
  put('.dockerignore', 'node_modules\ndocs\n!docs/README.md\nDockerfile\n');
  symlinkSync('src/app.js', join(context, 'link'));
  // The Dockerfile is needed whatever is said of it.
  expect(await listing()).toEqual(['.dockerignore', 'Dockerfile', 'docs/README.md', 'link', 'src/', 'src/app.js']);
});

test('it is known by its content and its settings, and not by when it was written', async () => {
  const pin = await pinOf();
  utimesSync(join(context, 'src/app.js'), 1, 1);
  put('node_modules/x/index.js', 'another');
  expect(await pinOf()).toBe(pin);
  expect(await pinOf({ args: { B: '2', A: '1' } })).toBe(pin);
  expect(await pinOf({ args: { A: '2', B: '2' } })).not.toBe(pin);
  put('src/app.js', 'hallo\n');
  const changed = await pinOf();
  expect(changed).not.toBe(pin);
  chmodSync(join(context, 'src/app.js'), 0o755);
  expect(await pinOf()).not.toBe(changed);
  await expect(pinOf({ context: join(context, 'nowhere') })).rejects.toMatchObject({ code: 'usage' });
});
