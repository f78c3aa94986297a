import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openStore, type Store } from '#certificates/store';
import { run } from '#core/run';

const request = { domains: ['shop.test', 'www.shop.test'], directory: 'https://ca.test/dir' };
const NOW = Date.UTC(2027, 0, 1);

let root: string;
let store: Store;

beforeEach(async () => {
  root = join(await mkdtemp(join(tmpdir(), 'certificates-')), 'store');
  store = openStore(root);
});
afterEach(async () => {
  await rm(join(root, '..'), { recursive: true });
});

/** A self-signed pair made by openssl. */
async function pair(): Promise<{ key: string; chain: string }> {
  const [key, chain] = [join(root, '..', 'key.pem'), join(root, '..', 'chain.pem')];
  const names = request.domains.map((name) => `DNS:${name}`).join(',');
  const output = await run([
    ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-days', '9'],
    ...['-subj', '/CN=test authority', '-addext', `subjectAltName=${names}`, '-keyout', key, '-out', chain],
  ]);
  expect(output.stderr + String(output.exitCode)).toMatch(/0$/);
  return { key: await readFile(key, 'utf8'), chain: await readFile(chain, 'utf8') };
}

async function mode(path: string): Promise<string> {
  return ((await lstat(join(root, path))).mode & 0o777).toString(8);
}

describe('the store', () => {
  it('reads back what it was given, for root alone', async () => {
    const { key, chain } = await pair();
    await store.install(request, key, chain, NOW);
    const certificate = await store.read('shop.test');
    expect(certificate).toMatchObject({
      names: ['shop.test', 'www.shop.test'],
      issuer: 'test authority',
      keyMatches: true,
      keyExposed: false,
      request: { ...request, issued: '2027-01-01T00:00:00.000Z' },
    });
    expect(await store.domains()).toEqual(['shop.test']);
    expect(await readlink(join(root, 'shop.test/current'))).toBe('20270101000000000');
    expect(await mode('shop.test')).toBe('700');
    expect(await mode('shop.test/current/key.pem')).toBe('600');
    const meta = await readFile(join(root, 'shop.test/current/meta.json'), 'utf8');
    expect(meta).not.toContain('PRIVATE KEY');
  });

  it('keeps three versions, never without the one in use, and clears away what a crash left', async () => {
    const { key, chain } = await pair();
    await mkdir(join(root, 'shop.test', '20261231000000000.new'), { recursive: true });
    for (let day = 0; day < 5; day += 1) await store.install(request, key, chain, NOW + day * 86_400_000);
    expect(await readdir(join(root, 'shop.test'))).toEqual([
      '20270103000000000',
      '20270104000000000',
      '20270105000000000',
      'current',
    ]);
  });

  it('goes on after a crash between any two steps of an installation', async () => {
    const { key, chain } = await pair();
    await store.install(request, key, chain, NOW);
    await mkdir(join(root, 'shop.test', '20270102000000000.new'));
    await writeFile(join(root, 'shop.test', 'current.new'), '');
    expect((await store.read('shop.test'))?.keyMatches).toBe(true);
    await store.install(request, key, chain, NOW + 86_400_000);
    expect(await readlink(join(root, 'shop.test/current'))).toBe('20270102000000000');
  });

  it('sees a foreign key, a readable key and lost terms', async () => {
    const { key, chain } = await pair();
    await store.install(request, key, chain, NOW);
    const current = join(root, 'shop.test/current');
    await writeFile(join(current, 'key.pem'), (await pair()).key);
    await chmod(join(current, 'key.pem'), 0o644);
    await rm(join(current, 'meta.json'));
    expect(await store.read('shop.test')).toMatchObject({ keyMatches: false, keyExposed: true, request: undefined });
  });

  it('mends terms and permissions without a new certificate', async () => {
    const { key, chain } = await pair();
    await store.install(request, key, chain, NOW);
    await chmod(join(root, 'shop.test/current/key.pem'), 0o644);
    await store.mend({ ...request, email: 'me@shop.test', ca: chain });
    expect(await store.read('shop.test')).toMatchObject({
      keyExposed: false,
      request: { ...request, email: 'me@shop.test', ca: chain, issued: '2027-01-01T00:00:00.000Z' },
    });
    await store.mend(request);
    expect((await store.read('shop.test'))?.request).toMatchObject({ ca: undefined });
  });

  it('is empty where nothing was, or only rubbish', async () => {
    expect(await store.domains()).toEqual([]);
    expect(await store.read('shop.test')).toBeUndefined();
    await mkdir(join(root, 'shop.test', 'current'), { recursive: true });
    await writeFile(join(root, 'shop.test', 'current', 'fullchain.pem'), 'rubbish');
    await writeFile(join(root, 'shop.test', 'failure.json'), '{');
    expect(await store.read('shop.test')).toBeUndefined();
    expect(await store.readFailure('shop.test')).toBeUndefined();
  });

  it('keeps accounts apart by authority', async () => {
    await store.writeAccount('https://a.test/dir', { key: 'A', url: 'https://a.test/account/1' });
    await store.writeAccount('https://b.test/dir', { key: 'B' });
    expect(await store.readAccount('https://a.test/dir')).toEqual({ key: 'A', url: 'https://a.test/account/1' });
    expect(await store.readAccount('https://b.test/dir')).toEqual({ key: 'B' });
    expect(await store.readAccount('https://c.test/dir')).toBeUndefined();
    expect(await store.domains()).toEqual([]);
  });

  it('forgets a domain entirely', async () => {
    const { key, chain } = await pair();
    await store.install(request, key, chain, NOW);
    await store.remove('shop.test');
    await store.remove('shop.test');
    expect(await readdir(root)).toEqual([]);
  });
});
