import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { matchesHost, settingsFor } from '#ssh/config';

let folder: string;
let file: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ssh-config-'));
  file = join(folder, 'config');
});
afterAll(() => rmSync(folder, { recursive: true }));

function settings(text: string, host: string) {
  writeFileSync(file, text);
  return settingsFor(host, { file });
}

describe('what OpenSSH itself makes of a configuration', () => {
  const cases: [name: string, text: string, hosts: string[]][] = [
    ['first value wins', 'Host a\n User one\n User two\nHost *\n User three\n Port 2022\n', ['a', 'b']],
    [
      'wildcards and negation',
      'Host *.example.com !old.example.com\n Port 2200\nHost ?x\n Port 22\n',
      ['web.example.com', 'old.example.com', 'ax'],
    ],
    [
      'equals signs, quotes, comments, case',
      'HOST "a"\n\tuser="an name"\n  PORT = 77 # why\n#User no\nIdentityFile "/k/my key"\n',
      ['a', 'b'],
    ],
    [
      'tokens',
      'Host a\n HostName %h.example.com\n User bob\n IdentityFile ~/.ssh/%h_%r_%p_%n_%u\n IdentityFile %d/%%x\n',
      ['a'],
    ],
    ['several identity files', 'IdentityFile /k/one\nHost a\n IdentityFile /k/two\n IdentitiesOnly yes\n', ['a', 'b']],
    [
      'match host after HostName',
      'Host a\n HostName real.example.com\nMatch host real.example.com\n User matched\nMatch originalhost a host nothing\n User no\nMatch all\n Port 99\n',
      ['a', 'b'],
    ],
    ['match user', 'Host a\n User bob\nMatch user bob,eve\n Port 5\nMatch !user bob\n Port 6\n', ['a', 'b']],
    [
      'jump',
      'Host a\n ProxyJump bob@gate.example.com:2222,inner\nHost b\n ProxyJump none\nHost *\n ProxyJump other\n',
      ['a', 'b', 'c'],
    ],
    ['key alias', 'Host a\n HostKeyAlias the-key\n', ['a']],
  ];
  it.skipIf(!existsSync('/usr/bin/ssh')).each(cases)('%s', (_name, text, hosts) => {
    for (const host of hosts) {
      const ours = settings(text, host);
      const theirs = openSsh(host);
      expect(ours.hostName).toBe(theirs.get('hostname')?.[0]);
      expect(String(ours.port ?? 22)).toBe(theirs.get('port')?.[0]);
      expect(ours.user ?? userInfo().username).toBe(theirs.get('user')?.[0]);
      expect(ours.identitiesOnly).toBe(theirs.get('identitiesonly')?.[0] === 'yes');
      expect(ours.jumps.join(',') || undefined).toBe(theirs.get('proxyjump')?.[0]);
      expect(ours.hostKeyAlias).toBe(theirs.get('hostkeyalias')?.[0]);
      if (ours.identityFiles !== undefined) {
        // `ssh -G` prints these before it fills in the tokens.
        expect(ours.identityFiles.length).toBe(theirs.get('identityfile')?.length);
      }
    }
  });

  function openSsh(host: string): Map<string, string[]> {
    const found = new Map<string, string[]>();
    for (const line of execFileSync('ssh', ['-G', '-F', file, host], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).split('\n')) {
      const [key = '', ...value] = line.split(' ');
      found.set(key, [...(found.get(key) ?? []), value.join(' ')]);
    }
    return found;
  }
});

it('fills in the tokens of identity files', () => {
  const { identityFiles } = settings(
    'Host a\n HostName h\n User r\n Port 7\n IdentityFile ~/k/%h_%r_%p_%n%%_%u\n',
    'a',
  );
  expect(identityFiles).toEqual([join(homedir(), `k/h_r_7_a%_${userInfo().username}`)]);
});

it('reads included files by their pattern, within the block that includes them', () => {
  mkdirSync(join(folder, 'conf.d'), { recursive: true });
  writeFileSync(join(folder, 'conf.d', '1.conf'), 'Host b\n Port 1\n');
  writeFileSync(join(folder, 'conf.d', '2.conf'), 'Host *\n User included\n');
  writeFileSync(join(folder, 'conf.d', 'not'), 'User wrong\n');
  expect(settings('Include conf.d/*.conf\n', 'b')).toMatchObject({ port: 1, user: 'included' });
  const inside = 'Host a\n Include conf.d/2.conf\n Port 9\n';
  expect(settings(inside, 'a')).toMatchObject({ port: 9, user: 'included' });
  expect(settings(inside, 'b').user).toBeUndefined();
  expect(settings('Include nowhere\nPort 3\n', 'a').port).toBe(3);
});

it('stops at a file that includes itself', () => {
  expect(() => settings(`Include ${file}\n`, 'a')).toThrow(/nests deeper/);
});

it('takes the agent that is named', () => {
  process.env['MY_AGENT'] = '/run/agent';
  expect(settings('IdentityAgent $MY_AGENT\n', 'a').identityAgent).toBe('/run/agent');
  expect(settings('IdentityAgent none\n', 'a').identityAgent).toBe(false);
  expect(settings('IdentityAgent ~/agent.sock\n', 'a').identityAgent).toBe(join(homedir(), 'agent.sock'));
  expect(settings('', 'a').identityAgent).toBeUndefined();
});

it('takes the old way to jump for the new one, and refuses any other command', () => {
  expect(settings('ProxyCommand ssh -q -W %h:%p bob@gate\n', 'a').jumps).toEqual(['bob@gate']);
  expect(() => settings('ProxyCommand nc -X connect %h %p\n', 'a')).toThrow(/ProxyCommand nc/);
  expect(settings('ProxyJump gate\nProxyCommand nc %h %p\n', 'a').jumps).toEqual(['gate']);
  expect(settings('ProxyCommand none\nProxyJump gate\n', 'a').jumps).toEqual([]);
});

it('executes nothing, and says what it passes over', () => {
  const found = settings(`Match exec "touch ${join(folder, 'ran')}"\n User no\nMatch all\n User yes\n`, 'a');
  expect(found.user).toBe('yes');
  expect(found.warnings).toEqual([expect.stringMatching(/config:1: "Match exec .*exec is not looked at/)]);
  expect(existsSync(join(folder, 'ran'))).toBe(false);
});

it('lets the inventory win', () => {
  writeFileSync(file, 'Host a\n User file\n Port 1\n');
  expect(settingsFor('a', { file, user: 'mine', port: 2 })).toMatchObject({ user: 'mine', port: 2 });
});

it('says where a line is wrong', () => {
  expect(() => settings('Host a\n Port\n', 'a')).toThrow(/config:2: Port has no value/);
  expect(() => settings('Host "a\n', 'a')).toThrow(/config:1: a quotation mark/);
  expect(() => settings('Host a\n Port many\n', 'a')).toThrow(/port "many"/);
});

it('says nothing where there is no file', () => {
  expect(settingsFor('a', { file: join(folder, 'missing') })).toMatchObject({ hostName: 'a', jumps: [], warnings: [] });
});

it('matches patterns as ssh_config(5) says', () => {
  expect(matchesHost(['*'], 'x')).toBe(true);
  expect(matchesHost(['!x'], 'y')).toBe(false);
  expect(matchesHost(['10.0.0.?'], '10.0.0.12')).toBe(false);
  expect(matchesHost(['a.b'], 'axb')).toBe(false);
  expect(matchesHost(['A.example'], 'a.Example')).toBe(true);
});
