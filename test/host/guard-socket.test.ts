import { afterAll, beforeAll, expect, test } from 'vitest';
import { sshSocket } from '#playbook/resources';
import { down, run, start, stop, up } from '#sandbox/sandbox';
import { type OnHost, onHost } from '#test/support/converge';

const NAME = 'guard-socket';
let host: OnHost;

const inside = async (script: string) => (await run(NAME, ['sh', '-c', script])).stdout;
/** Ports, and what of ours is among systemd's units. */
const state = () => inside("ss -Hltn | awk '{print $4}' | sed 's/.*://' | sort -u; ls /etc/systemd/system");

beforeAll(async () => {
  await down([NAME]).catch(() => undefined);
  host = await onHost(await up({ name: NAME, varieties: ['ssh-socket'] }));
});

afterAll(async () => {
  await host?.[Symbol.asyncDispose]();
  await down([NAME]);
});

test('sshd that is started by its socket listens where it did as soon as the change is undone', async () => {
  const before = await state();
  const { error } = await host.up([sshSocket({ port: 2222 })], { loginUser: 'nobody' });
  expect(error?.message).toContain('this test refuses it');
  expect(await state()).toBe(before);
  await using _ = await onHost(await start(NAME));
});

test('and where somebody else writes into the same folder meanwhile', async () => {
  const before = await state();
  // As systemd-tmpfiles does at each boot, without an end.
  await inside(
    `systemd-run --quiet --unit=busy sh -c 'while :; do mkdir -p /etc/ssh/made.d; : > /etc/ssh/made.d/a; done 2>/dev/null'`,
  );
  const { error } = await host.up([sshSocket({ port: 2222 })], { loginUser: 'nobody' });
  expect(error?.message).toContain('this test refuses it');
  await inside('systemctl stop busy; rm -rf /etc/ssh/made.d');
  expect(await inside('ls -d /etc/ssh*.slipway-undo 2>/dev/null || true')).toBe('');
  expect(await state()).toBe(before);
  await using _ = await onHost(await start(NAME));
});

test('and after a reboot', async () => {
  const before = await state();
  const unproven = host.up([sshSocket({ port: 2222 })], {
    loginUser: 'root',
    onEvent: async ({ type }) => {
      if (type !== 'guard.proof-wanted') return undefined;
      expect(await state()).toContain('2222');
      await inside(`kill -9 $(sed -n 's/.*"pid":\\([0-9]*\\).*/\\1/p' /run/slipway/operation.json)`);
      return false;
    },
  });
  await expect(unproven).rejects.toMatchObject({ code: 'operation-died' });
  await host[Symbol.asyncDispose]();
  await stop(NAME);
  host = await onHost(await start(NAME));
  expect(await state()).toBe(before);
  expect(await inside('systemctl is-system-running --wait')).toBe('running\n');
});
