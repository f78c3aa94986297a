import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { bootUnit, undoScript } from '#host/guard-undo';

const FOLDER = '/var/lib/slipway/guards/m1-7';
const bare = { tables: [], running: [], ufw: false };
const script = (options: Partial<Parameters<typeof undoScript>[0]> = {}) =>
  undoScript({ folder: FOLDER, before: bare, families: [4, 6], client: undefined, ...options });

describe('the script that undoes', () => {
  test.each([
    ['nothing ran', {}],
    ['sshd', { before: { ...bare, running: ['ssh.service'], ufw: true } }],
    ['a socket', { before: { ...bare, running: ['ssh.socket', 'ufw.service'], tables: ['slipway-nft-a.service'] } }],
    ['a client', { client: '2001:db8::7', families: [6] }],
  ])('is one that any POSIX shell reads: %s', (_, options) => {
    execFileSync('sh', ['-n'], { input: script(options) });
  });

  test('asks for a mark of every family that worked before', () => {
    expect(script({ families: [6] })).toContain('for family in 6; do [ -e "proven-$family" ]');
  });

  test('gives sshd back to who listened for it', () => {
    expect(script({ before: { ...bare, running: ['ssh.socket'] } })).toContain('systemctl start ssh.socket');
    expect(script({ before: { ...bare, running: ['ssh.service'] } })).toContain('reload-or-restart ssh.service');
    expect(script()).not.toMatch(/start ssh/);
  });

  test('never hands fail2ban what is no address', () => {
    expect(script({ client: '203.0.113.9' })).toContain('unban 203.0.113.9');
    expect(script({ client: '$(reboot)' })).not.toContain('reboot)');
  });
});

test('the boot unit comes before whatever lets somebody in, and only in another boot than that of the change', () => {
  const unit = bootUnit(FOLDER);
  expect(unit).toContain('Before=sysinit.target network-pre.target ssh.service ssh.socket ufw.service');
  expect(unit).toContain('ConditionPathExists=!/run/slipway/guard');
  expect(unit).toContain(`ExecStart=/bin/sh ${FOLDER}/undo.sh boot`);
});
