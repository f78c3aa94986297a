import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { KEY_FILE } from '#sandbox/places';
import { down, run as runInside, type SandboxHost, up } from '#sandbox/sandbox';
import { deploy } from '#test/support/cli';
import { makeProject } from '#test/support/project';
import { scratch } from '#test/support/scratch';

const NAME = 'e2e-way';
const project = makeProject();
let host: SandboxHost;

// A home of its own, so that nobody's keys and settings matter.
const home = scratch('home');
const deployHere = (...argv: string[]) => deploy([...argv, '--project', project.folder], { env: { HOME: home } });

beforeAll(async () => {
  await down([NAME]).catch(() => undefined);
  host = await up({ name: NAME, aptCache: true });
  mkdirSync(join(home, '.ssh'), { mode: 0o700 });
  writeFileSync(
    join(home, '.ssh', 'config'),
    `Host the-alias\n  HostName ${host.address}\n  User root\n  IdentityFile ${KEY_FILE}\n  IdentitiesOnly yes\n`,
  );
});

afterAll(async () => {
  await down([NAME]);
});

const inside = async (script: string) => (await runInside(NAME, ['sh', '-c', script])).stdout;

const inventory = (ssh: Record<string, unknown> = {}) => ({
  app: 'shop',
  hosts: { vps: { address: 'the-alias' } },
  ssh: { authorizedKeys: [`${KEY_FILE}.pub`], ...ssh },
});

test('what ~/.ssh/config says is honoured from the first contact on', async () => {
  project.write('prod', inventory());
  const brought = await deployHere('up', 'prod');
  expect(brought.code, brought.stderr).toBe(0);
  expect((await deployHere('plan', 'prod', '--exit-code')).code).toBe(0);
});

test('sshd moves to another port under the guard, and is found there', async () => {
  project.write('prod', inventory({ port: 2222 }));
  const moved = await deployHere('up', 'prod', '--json');
  expect(moved.code, moved.stdout.slice(-2000)).toBe(0);
  expect(moved.events.map(({ type }) => type)).toContain('guard.disarmed');
  // The rule of the old port goes once the connection comes in through the new one.
  const settled = await deployHere('up', 'prod');
  expect(settled.code, settled.stderr).toBe(0);
  expect((await deployHere('plan', 'prod', '--exit-code')).code).toBe(0);
  expect(await inside('sshd -T | grep "^port"; ufw status | grep -c "^22/tcp"; ufw status | grep -c "^2222/tcp"')).toBe(
    'port 2222\n0\n2\n',
  );
});

test('where systemd listens for sshd, it is its socket that moves', async () => {
  await inside(
    'ufw allow 22/tcp; rm /etc/ssh/sshd_config.d/00-slipway.conf; systemctl disable --now ssh.service; systemctl enable --now ssh.socket',
  );
  const moved = await deployHere('up', 'prod', '--json');
  expect(moved.code, moved.stderr + moved.stdout.slice(-2000)).toBe(0);
  expect(moved.events.map(({ type }) => type)).toContain('guard.disarmed');
  const listening = "ss -Hltnp | grep -E 'sshd|systemd' | awk '{print $4}'; systemctl is-active ssh.socket";
  expect(await inside(listening)).toBe('*:2222\nactive\n');
  expect((await deployHere('plan', 'prod', '--exit-code')).code).toBe(0);
  expect(await inside('systemctl --failed --plain --no-legend | grep ssh || true')).toBe('');
});
