import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { authorizedKeysKind, keyIdentity, splitKeys, wantedText } from '#resources/authorized-keys';
import { groupKind } from '#resources/group';
import { mergedSudoers, sudoersKind } from '#resources/sudoers';
import { userKind } from '#resources/user';

const home = { type: 'directory', owner: 'deploy', group: 'deploy', mode: '0700', size: 1 } as const;
const deploy = {
  name: 'deploy',
  uid: 1000,
  gid: 1000,
  primary: 'deploy',
  home: '/home/deploy',
  shell: '/bin/sh',
  groups: ['users'],
  hasShell: true,
  shadow: { name: 'deploy', locked: false, changed: 20_000, maxAge: 99_999, expires: undefined },
  homeDirectory: home,
};

describe('user', () => {
  type State = NonNullable<Parameters<typeof userKind.diff>[0]>;
  const changes = (props: Record<string, unknown>, state: State = deploy) =>
    userKind.diff(state, userKind.props.parse({ name: 'deploy', ...props })).map(({ summary }) => summary);

  test('one that was there keeps what is not declared', () => {
    expect(changes({})).toEqual([]);
  });

  test('each declared property that differs is a change', () => {
    expect(changes({ shell: '/bin/bash', groups: ['sudo', 'users'], password: 'none', uid: 1001 })).toEqual([
      'uid 1000 -> 1001',
      'shell /bin/sh -> /bin/bash',
      'join sudo',
      'lock the password',
    ]);
  });

  test('who has to log in is not kept out by shell, age or home; who need not is left alone', () => {
    const shadow = { ...deploy.shadow, changed: 0, maxAge: 90, expires: 1 };
    const homeDirectory = { ...home, mode: '0777' };
    const kept: State = { ...deploy, shell: '/usr/sbin/nologin', hasShell: false, shadow, homeDirectory };
    expect(changes({}, kept)).toEqual([]);
    expect(changes({ login: true }, kept)).toEqual([
      'shell /usr/sbin/nologin -> /bin/bash',
      'never expires',
      'password never expires',
      '/home/deploy: theirs alone to write',
    ]);
    expect(changes({ login: true })).toEqual([]);
    expect(changes({ login: true }, { ...deploy, homeDirectory: { ...home, owner: 'root' } })).toEqual([]);
  });

  test('foreign memberships go only where the groups are exact', () => {
    expect(changes({ groups: ['sudo'], exactGroups: true })).toEqual(['join sudo', 'leave users']);
  });

  test('the primary group counts as a membership', () => {
    expect(changes({ groups: ['deploy'] })).toEqual([]);
  });

  test('names that could be taken for options or paths are refused', () => {
    for (const name of ['-r', 'a b', 'A', '../x', '', '0x', 'a:b']) {
      expect(userKind.props.safeParse({ name }).success, name).toBe(false);
      expect(groupKind.props.safeParse({ name }).success, name).toBe(false);
    }
  });
});

describe('authorized keys', () => {
  const line = (blob: string) => `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${blob} ${blob}@laptop`;
  const blobs = fc.uniqueArray(fc.stringMatching(/^[A-Za-z0-9+/]{8}$/), { maxLength: 5 });
  const foreignText = blobs.map((list) => list.map((blob) => `${line(blob)}\n`).join(''));

  test('once written they are what is wanted, and foreign lines stay', async () => {
    await fc.assert(
      fc.property(foreignText, blobs, blobs, (foreign, first, second) => {
        const [one, two] = [first, second].map((list) => ({ keys: list.map(line), exclusive: false }));
        if (one === undefined || two === undefined) return;
        const text = wantedText(wantedText(foreign, one), two);
        expect(wantedText(text, two)).toBe(text);
        for (const key of foreign.split('\n')) expect(text).toContain(key);
        for (const key of two.keys) expect(text.split('\n').filter((found) => found === key)).toHaveLength(1);
        const ours = splitKeys(text).own.filter((found) => keyIdentity(found) !== undefined);
        expect(ours.every((found) => two.keys.includes(found))).toBe(true);
      }),
    );
  });

  test('exclusive leaves exactly the declared ones', async () => {
    await fc.assert(
      fc.property(foreignText, blobs, (foreign, list) => {
        const keys = list.map(line);
        const { own, foreign: left } = splitKeys(wantedText(foreign, { keys, exclusive: true }));
        expect(left).toEqual([]);
        expect(own).toEqual(keys);
      }),
    );
  });

  test('a key is known by its type and blob, whatever its options say', () => {
    const blob = 'AAAAC3NzaC1lZDI1NTE5AAAAIabc';
    expect(keyIdentity(`command="ssh-wrap run",no-pty ssh-ed25519 ${blob} a`)).toBe(`ssh-ed25519 ${blob}`);
    expect(keyIdentity(`ssh-ed25519   ${blob}`)).toBe(`ssh-ed25519 ${blob}`);
    expect(keyIdentity(`# ssh-ed25519 ${blob}`)).toBeUndefined();
  });

  test('what is no public key, or more than a line, is refused', () => {
    const bad = ['x', '-----BEGIN OPENSSH PRIVATE KEY-----', `${line('abc')}\nssh-rsa AAAA evil`];
    for (const key of bad)
      expect(authorizedKeysKind.props.safeParse({ user: 'deploy', keys: [key] }).success).toBe(false);
  });
});

describe('sudoers', () => {
  test('a candidate is checked in the place of the file it becomes', () => {
    const main = 'Defaults env_reset\n@includedir /etc/sudoers.d\n';
    expect(mergedSudoers(main, ['/etc/sudoers.d/README'], '/run/x')).toBe(
      'Defaults env_reset\n@include /etc/sudoers.d/README\n@include /run/x\n',
    );
    expect(mergedSudoers('#includedir /etc/sudoers.d', [], '/run/x')).toBe('@include /run/x');
  });

  test('names that sudo would not read are refused', () => {
    for (const name of ['a.conf', 'a~', 'a/b', '']) {
      expect(sudoersKind.props.safeParse({ name, content: 'x' }).success, name).toBe(false);
    }
  });
});
