import { describe, expect, test } from 'vitest';
import { expiryFault, keyFault, keyFiles, listedKeys } from '#host/login-faults-account';
import { listensOn, namesBanned } from '#host/login-faults-way';

describe('an account', () => {
  const line = (fields: string) => expiryFault(`deploy:${fields}`, 20_000);

  test.each([
    ['*:19000:0:99999:7:::', undefined],
    ['*::::::', undefined],
    ['*:19000:0::7:::', undefined],
    ['*:19000:0:99999:7::1:', 'the account deploy expired on 1970-01-02'],
    ['*:19000:0:60:7:::', 'the password of deploy expired on 2022-03-09'],
    ['*:0:0:99999:7:::', 'the password of deploy has to be changed at the next login'],
  ])('%s', (fields, fault) => {
    expect(line(fields)).toBe(fault);
  });
});

describe('keys', () => {
  const deploy = { name: 'deploy', uid: 1000, gid: 1000, home: '/srv/d', shell: '/bin/sh' };

  test('are looked for where sshd looks for them', () => {
    expect(keyFiles('.ssh/authorized_keys /etc/keys/%u/%U %h/k%%', deploy)).toEqual([
      '/srv/d/.ssh/authorized_keys',
      '/etc/keys/deploy/1000',
      '/srv/d/k%',
    ]);
    expect(keyFiles('none', deploy)).toEqual([]);
  });

  test('are read as ssh-keygen lists them', () => {
    const said =
      '256 SHA256:abc+/d me@there (laptop) (ED25519)\n2048 SHA256:x no comment (RSA)\n# is not a public key\n';
    expect(listedKeys(said)).toEqual([
      { bits: 256, fingerprint: 'SHA256:abc+/d', type: 'ED25519' },
      { bits: 2048, fingerprint: 'SHA256:x', type: 'RSA' },
    ]);
  });

  test('are taken or not, by their kind and their size', () => {
    const sshd = new Map([
      ['requiredrsasize', '3072'],
      ['pubkeyacceptedalgorithms', 'rsa-sha2-512,ecdsa-sha2-nistp256'],
    ]);
    const key = (type: string, bits: number) => keyFault({ type, bits, fingerprint: '' }, sshd);
    expect(key('RSA', 2048)).toBe('its RSA key has 2048 bits, and sshd asks for 3072');
    expect(key('RSA', 3072)).toBeUndefined();
    expect(key('ED25519', 256)).toBe('sshd takes no ED25519 keys');
    expect(key('ECDSA', 256)).toBeUndefined();
    expect(key('ECDSA', 384)).toBe('sshd takes no ECDSA keys');
    expect(keyFault({ type: 'RSA', bits: 1024, fingerprint: '' }, new Map())).toBeUndefined();
  });
});

describe('the way to sshd', () => {
  const HEAD = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';

  test('is open where something listens, other than on loopback', () => {
    expect(
      listensOn(`${HEAD}   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1`, 22),
    ).toBe(true);
    expect(
      listensOn(`${HEAD}   0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1`, 22),
    ).toBe(false);
    expect(
      listensOn(`${HEAD}   0: 0107CB0A:0016 0207CB0A:C350 01 00000000:00000000 00:00000000 00000000 0 0 1`, 22),
    ).toBe(false);
  });

  test('is closed to whom fail2ban names, and to no other', () => {
    expect(namesBanned("[{'sshd': ['10.0.0.1', '2001:db8::7']}]", '10.0.0.1')).toBe(true);
    expect(namesBanned("[{'sshd': ['10.0.0.11', '2001:db8::7']}]", '10.0.0.1')).toBe(false);
    expect(namesBanned("[{'sshd': []}]", '10.0.0.1')).toBe(false);
  });
});
