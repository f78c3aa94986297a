import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { padding, TAR_END, tarHeader } from '#core/tar';
import { openArchive } from '#images/archive';
import { scratch } from '#test/support/scratch';

const room = scratch('archive');
const sha256 = (content: Buffer | string) => createHash('sha256').update(content).digest('hex');
const layers = [randomBytes(300_000), randomBytes(70_000)];
const config = JSON.stringify({
  architecture: 'amd64',
  os: 'linux',
  rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${sha256(layer)}`) },
});

function tar(files: Readonly<Record<string, Buffer | string>>): Buffer {
  const parts = Object.entries(files).flatMap(([path, text]) => {
    const content = Buffer.from(text as string);
    return [tarHeader({ path, size: content.length }), content, padding(content.length)];
  });
  return Buffer.concat([...parts, TAR_END]);
}

/** As `docker save` has written it since Docker 25: every part under its digest, the manifest last. */
function saved(change: Readonly<Record<string, Buffer | string>> = {}): Buffer {
  const blob = (content: Buffer | string) => `blobs/sha256/${sha256(content)}`;
  const manifest = [{ Config: blob(config), RepoTags: ['acme/shop:v1'], Layers: layers.map(blob) }];
  const blobs = Object.fromEntries([config, ...layers].map((content) => [blob(content), content]));
  return tar({ ...blobs, 'manifest.json': JSON.stringify(manifest), ...change });
}

function written(name: string, content: Buffer): string {
  const path = join(room, name);
  writeFileSync(path, content);
  return path;
}

async function readAll(path: string): Promise<readonly string[]> {
  await using archive = await openArchive(path);
  const all: string[] = [];
  for (const layer of archive.images[0]?.layers ?? []) {
    const chunks: Buffer[] = [];
    for await (const chunk of archive.read(layer)) chunks.push(chunk);
    all.push(sha256(Buffer.concat(chunks)));
  }
  return all;
}

test('an archive tells its images, and gives their layers', async () => {
  const path = written('whole.tar', saved());
  await using archive = await openArchive(path);
  expect(archive.images).toMatchObject([
    { names: ['acme/shop:v1'], id: `sha256:${sha256(config)}`, architecture: 'amd64', config },
  ]);
  expect(await readAll(path)).toEqual(layers.map(sha256));
});

test('what older engines and Podman write is read too: links, folders, compressed layers', async () => {
  const folder = join(room, 'old');
  mkdirSync(join(folder, 'one'), { recursive: true });
  const long = `${'deep/'.repeat(30)}layer.tar`;
  mkdirSync(join(folder, 'deep/'.repeat(30)), { recursive: true });
  writeFileSync(join(folder, 'base.tar'), gzipSync(layers[0] ?? ''));
  writeFileSync(join(folder, long), layers[1] ?? '');
  symlinkSync('../base.tar', join(folder, 'one/layer.tar'));
  writeFileSync(join(folder, 'config.json'), config);
  const manifest = [{ Config: 'config.json', RepoTags: null, Layers: ['one/layer.tar', long] }];
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest));
  for (const format of ['gnu', 'pax', 'ustar']) {
    const path = join(room, `${format}.tar`);
    execFileSync('tar', ['-C', folder, `--format=${format}`, '-cf', path, '.']);
    await using archive = await openArchive(path);
    expect(archive.images[0]?.layers.map(({ isCompressed }) => isCompressed)).toEqual([true, false]);
    expect((await readAll(path))[1]).toBe(sha256(layers[1] ?? ''));
  }
});

describe('an archive that cannot be sent', () => {
  const manifest = (value: unknown) => ({ 'manifest.json': JSON.stringify(value) });
  test.each<[string, () => Buffer, RegExp]>([
    ['ends early', () => saved().subarray(0, 200_000), /ends in the middle/],
    ['ends at an entry', () => saved().subarray(0, -1024), /ends in the middle/],
    ['is none', () => randomBytes(4096), /no tar archive/],
    ['is compressed', () => gzipSync(saved()), /no tar archive/],
    ['is empty', () => Buffer.alloc(0), /ends in the middle/],
    ['is an OCI layout', () => tar({ 'index.json': '{}', 'oci-layout': '{}' }), /OCI layout/],
    ['holds something else', () => tar({ hello: 'world' }), /no manifest\.json/],
    ['has a manifest of no sense', () => saved(manifest({ a: 1 })), /cannot be read/],
    [
      'lacks a layer',
      () => saved(manifest([{ Config: `blobs/sha256/${sha256(config)}`, Layers: ['a', 'b'] }])),
      /missing/,
    ],
    [
      'lacks layers',
      () => saved(manifest([{ Config: `blobs/sha256/${sha256(config)}`, Layers: [] }])),
      /0 layers of an/,
    ],
  ])('%s', async (name, content, why) => {
    const path = written(`${name}.tar`, content());
    await expect(openArchive(path)).rejects.toMatchObject({
      code: 'archive-invalid',
      message: expect.stringMatching(why),
    });
  });

  test('is damaged in a layer', async () => {
    const damaged = saved();
    const at = damaged.indexOf(layers[1]?.subarray(0, 64) ?? '') + 1000;
    damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at);
    await expect(readAll(written('damaged.tar', damaged))).rejects.toMatchObject({ code: 'archive-invalid' });
  });

  test('becomes shorter while it is read', async () => {
    const path = written('shrinking.tar', saved());
    await using archive = await openArchive(path);
    truncateSync(path, 10_000);
    const layer = archive.images[0]?.layers[1];
    if (layer === undefined) throw new Error('there is no layer');
    await expect(archive.read(layer).next()).rejects.toThrow(/ends in the middle/);
  });
});

test('what is written is what tar reads, names of any length and links among it', () => {
  const long = `${'folder/'.repeat(40)}ä.txt`;
  const content = Buffer.from('hello\n');
  const parts = [
    tarHeader({ path: 'a/', type: 'folder', mode: 0o755 }),
    tarHeader({ path: 'a/run', size: content.length, mode: 0o755, modified: 1_000_000_000 }),
    Buffer.concat([content, padding(content.length)]),
    tarHeader({ path: 'a/link', type: 'link', target: 'run' }),
    tarHeader({ path: long, size: content.length }),
    Buffer.concat([content, padding(content.length)]),
    TAR_END,
  ];
  const path = written('own.tar', Buffer.concat(parts));
  const folder = join(room, 'unpacked');
  mkdirSync(folder);
  execFileSync('tar', ['-C', folder, '-xf', path], { env: { ...process.env, LC_ALL: 'C.UTF-8' } });
  expect(readFileSync(join(folder, long), 'utf8')).toBe('hello\n');
  expect(readFileSync(join(folder, 'a/link'), 'utf8')).toBe('hello\n');
  const { mode, mtimeMs } = statSync(join(folder, 'a/run'));
  expect([mode & 0o777, mtimeMs / 1000]).toEqual([0o755, 1_000_000_000]);
});
