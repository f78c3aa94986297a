import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { run } from '#core/run';
import { down, type SandboxHost, up } from '#sandbox/sandbox';
import { openHost } from '#ssh/operation';
import type { Bundle } from '#ssh/runner';
import { builtRunner, type OnHost, onHost } from '#test/support/converge';

const NAME = 'runner';
let sandbox: SandboxHost;
let host: OnHost;

beforeAll(async () => {
  await down([NAME]).catch(() => undefined);
  sandbox = await up({ name: NAME });
  host = await onHost(sandbox);
});

afterAll(async () => {
  await host?.[Symbol.asyncDispose]();
  await down([NAME]);
});

async function open(bundle: Bundle): Promise<string[]> {
  const said: string[] = [];
  const session = await openHost(host.connection, bundle, (message) => said.push(message));
  expect(session.hello.facts.os.id).toBe('debian');
  session.close();
  return said;
}

/** The runner with a comment more: another hash, and the same program. */
function another(bundle: Bundle, comment: string): Bundle {
  const content = Buffer.concat([bundle.content, Buffer.from(`\n// ${comment}\n`)]);
  const sha256 = createHash('sha256').update(content).digest('hex');
  return { content, sha256, folder: `/opt/slipway/${sha256.slice(0, 16)}` };
}

test('a host that reaches the registry fetches the runtime by itself, once', async () => {
  const bundle = builtRunner();
  expect(await open(bundle)).toEqual(['bringing the runner']);
  expect(await open(bundle)).toEqual([]);
  const { stdout } = await host.sh(`sha256sum ${bundle.folder}/slipway-host.mjs; readlink /opt/slipway/current`);
  expect(stdout).toContain(bundle.sha256);
  expect(stdout).toContain(bundle.folder);
});

test('a host that does not is sent it, checked by the same hash', async () => {
  const registry = (await run(['npm', 'config', 'get', 'registry'])).stdout.trim();
  const name = new URL(registry).hostname;
  await host.sh(
    `rm -rf /opt/slipway; cp /etc/hosts /etc/hosts.kept; echo "127.0.0.1 ${name}" >> /etc/hosts; echo "::1 ${name}" >> /etc/hosts`,
  );
  expect(await open(builtRunner())).toEqual([
    'bringing the runner',
    'the host cannot fetch the runtime by itself; sending it (52 MB)',
  ]);
  await host.sh('cp /etc/hosts.kept /etc/hosts');
});

test('a runner that was tampered with on the way is refused', async () => {
  const honest = another(builtRunner(), 'honest');
  const forged = { ...honest, content: Buffer.concat([honest.content, Buffer.from('// more\n')]) };
  await expect(open(forged)).rejects.toMatchObject({ code: 'runner-not-brought' });
  expect((await host.sh(`ls ${forged.folder}`)).code).not.toBe(0);
});

test('older runners are pruned, the newest and two before it stay', async () => {
  for (const comment of ['one', 'two', 'three', 'four']) {
    await open(another(builtRunner(), comment));
    // ls sorts them by time, in whole seconds on some file systems.
    await host.sh('sleep 1.1');
  }
  const { stdout } = await host.sh(
    'ls -d /opt/slipway/*/ | grep -vc node-; ls -d /opt/slipway/node-* | wc -l; ls -a /opt/slipway | grep -c incoming',
  );
  expect(stdout).toBe('3\n1\n0\n');
});

test('a login script that prints something is named as what disturbs', async () => {
  await host.sh('cp ~/.bashrc ~/.bashrc.kept 2>/dev/null; echo "echo welcome" > ~/.bashrc');
  await expect(open(builtRunner())).rejects.toMatchObject({
    code: 'runner-failed',
    hint: expect.stringContaining('.bashrc'),
  });
  await host.connection.exec('rm ~/.bashrc; [ -e ~/.bashrc.kept ] && mv ~/.bashrc.kept ~/.bashrc; true');
});
