import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EXIT } from '#core/error-codes';
import { run as runHere } from '#core/run';
import { KEY_FILE } from '#sandbox/places';
import { down, publishHostKeys, run as runInside, type SandboxHost, up } from '#sandbox/sandbox';
import { deploy } from '#test/support/cli';
import { type Owner, ownerOf } from '#test/support/owner';
import { makeProject } from '#test/support/project';
import { scratch } from '#test/support/scratch';
import { deployInTerminal, type TerminalRun } from '#test/support/terminal';

const NAME = 'e2e-first';
const project = makeProject();
const home = scratch('home');
const ENV = { HOME: home, XDG_STATE_HOME: home, SSH_AUTH_SOCK: '' };
let host: SandboxHost;
let owner: Owner;
let password: string;

const ask = ['up', 'prod', '--project', project.folder];

async function inside(script: string): Promise<string> {
  const { stdout, stderr, exitCode } = await runInside(NAME, ['sh', '-c', script], { timeout: 120 });
  if (exitCode !== 0) throw new Error(`${script}\n${stderr}`);
  return stdout.trim();
}

/** Where among the programs of this machine and of the host the password is to be seen while `work` goes on. */
async function leaks<T>(work: Promise<T>): Promise<{ readonly result: T; readonly seen: readonly string[] }> {
  const seen = new Set<string>();
  let isOver = false;
  const watch = (async () => {
    while (!isOver) {
      for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name) && name !== String(process.pid))) {
        for (const file of ['cmdline', 'environ']) {
          try {
            if (readFileSync(`/proc/${pid}/${file}`, 'latin1').includes(password)) seen.add(file);
          } catch {
            // It has ended meanwhile.
          }
        }
      }
      await sleep(500);
    }
  })();
  const result = await work;
  isOver = true;
  await watch;
  return { result, seen: [...seen] };
}

let first: TerminalRun;
let seen: readonly string[];

beforeAll(async () => {
  await down([NAME]).catch(() => undefined);
  host = await up({
    name: NAME,
    varieties: ['root-password', 'first-boot', 'needrestart', 'nameless-host', 'no-sudo'],
    aptCache: true,
  });
  password = host.password ?? '';
  await publishHostKeys();
  owner = await ownerOf(host);
  project.write('prod', { app: 'first', hosts: { vps: { address: host.address, identityFile: KEY_FILE } } });
  expect(await owner.password('root', password)).toBe('let in');
  ({ result: first, seen } = await leaks(deployInTerminal(ask, [{ when: 'Password of root@', type: password }], ENV)));
});

afterAll(() => down([NAME]));

test('a fresh image in its first seconds becomes a hardened host', async () => {
  expect(first.screen).toMatch(/first-boot:cloud-init +wait until it is done/);
  expect(first.screen).toContain('guard disarmed');
  expect(first.code, first.screen.slice(-3000)).toBe(EXIT.done);
  // What cloud-init was told to do was done, and what needrestart would have asked was not.
  expect(await inside("cloud-init status; dpkg-query -W -f '${db:Status-Status}\\n' tree sudo; cloud-id")).toBe(
    'status: done\ninstalled\ninstalled\nnocloud',
  );
  expect(await inside('getent hosts "$(hostname)" || echo nobody')).toBe('nobody');
});

test('the password was asked for once, and is nowhere', async () => {
  // The question is drawn anew with each key, and ticked off when it has its answer.
  expect(first.screen.match(/✔ Password of root@/g)).toHaveLength(1);
  expect(first.screen).not.toContain(password);
  expect(seen).toEqual([]);
  expect(await inside(`grep -rlF -- '${password}' /var/lib/slipway /etc /opt/slipway /root /tmp || true`)).toBe('');
  expect(await inside(`journalctl --no-pager | grep -cF -- '${password}' || true`)).toBe('0');
  expect((await runHere(['grep', '-rlF', '--', password, home, project.folder])).stdout).toBe('');
});

test('a key lets the deploy user in, nothing lets root in, and no password counts', async () => {
  expect(await owner.login('deploy', 'sudo -n id -un 2>/dev/null')).toBe('root');
  expect(await owner.login('root')).toBe('exit 255');
  await inside(`echo 'deploy:${password}' | chpasswd`);
  for (const user of ['root', 'deploy']) {
    expect(await owner.password(user, password)).toMatch(
      /was refused: offered: \S+ \(\S+\); the host takes publickey$/,
    );
  }
  await inside('usermod -p "*" deploy');
});

test('the second run asks nothing and changes nothing', async () => {
  const again = await deployInTerminal(ask, [], ENV);
  expect(again.screen).toContain('no change');
  expect(again.screen).not.toContain('Password');
  expect(again.code).toBe(EXIT.done);
  expect((await deploy(['plan', 'prod', '--exit-code', '--project', project.folder], { env: ENV })).code).toBe(
    EXIT.done,
  );
});
