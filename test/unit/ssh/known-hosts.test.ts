import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type HostKey, hostKey, hostKeyOffer, judge, knownAs, knownKeys, pin } from '#ssh/known-hosts';

const haveKeygen = existsSync('/usr/bin/ssh-keygen');

function key(type: string, seed: number): HostKey {
  const name = Buffer.from(type);
  const body = Buffer.alloc(32, seed);
  const length = (of: Buffer) => {
    const four = Buffer.alloc(4);
    four.writeUInt32BE(of.length);
    return four;
  };
  return hostKey(Buffer.concat([length(name), name, length(body), body]));
}
const ED = key('ssh-ed25519', 1);
const OTHER = key('ssh-ed25519', 2);
const RSA = key('ssh-rsa', 3);
const text = (of: HostKey) => `${of.type} ${of.blob.toString('base64')}`;

let folder: string;
let count = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'known-hosts-'));
});
afterAll(() => rmSync(folder, { recursive: true }));
function file(content: string): string {
  count += 1;
  const path = join(folder, `known_hosts_${count}`);
  writeFileSync(path, content);
  return path;
}
const found = (content: string, host: string, port = 22) => knownKeys([file(content)], host, port).map((k) => k.line);

describe('the lines that name a host', () => {
  it.each([
    ['plain', `example.com ${text(ED)}`, 'example.com', 22, [1]],
    ['without regard to case', `example.com ${text(ED)}`, 'Example.COM', 22, [1]],
    ['several names', `a,example.com,10.0.0.1 ${text(ED)} comment`, '10.0.0.1', 22, [1]],
    ['another port', `[example.com]:2222 ${text(ED)}`, 'example.com', 2222, [1]],
    ['not the plain name on another port', `example.com ${text(ED)}`, 'example.com', 2222, []],
    ['IPv6', `[::1]:2222 ${text(ED)}\n::1 ${text(ED)}`, '::1', 2222, [1]],
    ['wildcards and negation', `*.example.com,!x.example.com ${text(ED)}`, 'x.example.com', 22, []],
    ['wildcards', `*.example.com,!x.example.com ${text(ED)}`, 'y.example.com', 22, [1]],
    ['several types', `a ${text(ED)}\n\n# c\na ${text(RSA)}\nb ${text(ED)}`, 'a', 22, [1, 4]],
    ['a type that is not what the key says', `a ssh-rsa ${ED.blob.toString('base64')}`, 'a', 22, []],
    ['half a line', 'a ssh-ed25519', 'a', 22, []],
    ['an unknown marker', `@trusted a ${text(ED)}`, 'a', 22, []],
  ])('%s', (_name, content, host, port, lines) => {
    expect(found(content, host, port)).toEqual(lines);
  });

  it.skipIf(!haveKeygen)('hashed, as ssh-keygen -H makes them', () => {
    const path = file(`secret.example.com ${text(ED)}\n[secret.example.com]:2222 ${text(RSA)}\n`);
    execFileSync('ssh-keygen', ['-q', '-H', '-f', path], { stdio: 'ignore' });
    expect(readFileSync(path, 'utf8')).not.toContain('secret');
    expect(knownKeys([path], 'secret.example.com', 22).map((k) => k.type)).toEqual(['ssh-ed25519']);
    expect(knownKeys([path], 'secret.example.com', 2222).map((k) => k.type)).toEqual(['ssh-rsa']);
    expect(knownKeys([path], 'other.example.com', 22)).toEqual([]);
  });
});

it('lets the first file that knows a host decide', () => {
  const ours = file(`a ${text(ED)}\n`);
  const theirs = file(`a ${text(OTHER)}\nb ${text(OTHER)}\n`);
  expect(judge(OTHER, knownKeys([ours, theirs], 'a', 22)).kind).toBe('changed');
  expect(judge(OTHER, knownKeys([ours, theirs], 'b', 22)).kind).toBe('known');
});

it('refuses a revoked key whatever else is written', () => {
  const ours = file(`a ${text(ED)}\n`);
  const theirs = file(`@revoked * ${text(ED)}\n`);
  expect(judge(ED, knownKeys([ours, theirs], 'a', 22))).toMatchObject({ kind: 'revoked', by: { line: 1 } });
  expect(judge(OTHER, knownKeys([theirs], 'a', 22)).kind).toBe('unknown');
});

it('does not take a certificate authority for a key', () => {
  const known = knownKeys([file(`@cert-authority *.example.com ${text(ED)}\n`)], 'a.example.com', 22);
  expect(judge(ED, known)).toMatchObject({ kind: 'unknown', authority: { line: 1 } });
});

it('takes a key of an unpinned type for a change', () => {
  expect(judge(RSA, knownKeys([file(`a ${text(ED)}\n`)], 'a', 22))).toMatchObject({
    kind: 'changed',
    pinned: [{ line: 1 }],
  });
});

it('asks for the pinned types first', () => {
  expect(hostKeyOffer([])[0]).toBe('ssh-ed25519');
  const offer = hostKeyOffer(knownKeys([file(`a ${text(RSA)}\n`)], 'a', 22));
  expect(offer.slice(0, 3)).toEqual(['rsa-sha2-512', 'rsa-sha2-256', 'ssh-ed25519']);
  expect(offer).not.toContain('ssh-rsa');
});

describe('pinning', () => {
  it('adds a line, makes the file readable, and leaves nothing else behind', () => {
    const path = join(folder, 'new', 'known_hosts');
    pin(path, 'A.example', 2222, ED);
    pin(path, 'A.example', 2222, ED);
    expect(readFileSync(path, 'utf8')).toBe(`[a.example]:2222 ${text(ED)}\n`);
    expect(statSync(path).mode & 0o777).toBe(0o644);
    expect(readdirSync(join(folder, 'new'))).toEqual(['known_hosts']);
  });
  it('keeps what was there, also without a last newline', () => {
    const path = file(`b ${text(ED)}`);
    pin(path, 'a', 22, RSA);
    expect(readFileSync(path, 'utf8')).toBe(`b ${text(ED)}\na ${text(RSA)}\n`);
    expect(judge(RSA, knownKeys([path], 'a', 22)).kind).toBe('known');
  });
  it.skipIf(!haveKeygen)('writes what ssh-keygen finds, with the same fingerprint', () => {
    const made = join(folder, 'key');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', made]);
    const blob = Buffer.from(readFileSync(`${made}.pub`, 'utf8').split(' ')[1] ?? '', 'base64');
    const path = join(folder, 'kg');
    pin(path, '::1', 2022, hostKey(blob));
    const shown = execFileSync('ssh-keygen', ['-l', '-F', '[::1]:2022', '-f', path], { encoding: 'utf8' });
    expect(shown).toContain(hostKey(blob).fingerprint);
  });
});

it('names a host as known_hosts files do', () => {
  expect(knownAs('Web', 22)).toBe('web');
  expect(knownAs('::1', 22)).toBe('::1');
  expect(knownAs('::1', 23)).toBe('[::1]:23');
});

it('says that a file cannot be read, rather than that a host is unknown', () => {
  expect(() => knownKeys([folder], 'a', 22)).toThrow(/cannot be read/);
});
