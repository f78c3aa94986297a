import { afterAll, beforeAll, expect, test } from 'vitest';
import { AUTHORITIES } from '#sandbox/places';
import { down, run as runInside, type SandboxHost, start, stop } from '#sandbox/sandbox';
import { appHost } from '#test/support/app-host';
import { browse } from '#test/support/browse';
import { deploy } from '#test/support/cli';
import { makeProject } from '#test/support/project';
import { killRunners, runnersOf } from '#test/support/runners';

const NAME = 'e2e-faults';
const DOMAIN = 'faults.sandbox.test';

const project = makeProject();
let host: SandboxHost;

/** Declares the app in a version of its own; versions differ in their environment alone, so no image is pulled. */
function declare(version: string): void {
  project.write('prod', {
    app: 'shop',
    hosts: { vps: { address: host.address, identityFile: host.keyFile, user: host.user } },
    services: {
      web: {
        image: 'registry.sandbox.test/demo:v1',
        healthcheck: { path: '/up' },
        environment: { DATABASE_URL: 'none', REDIS_URL: 'none', VERSION: version },
      },
    },
    routes: { [DOMAIN]: 'web:3000' },
    release: { command: 'true', watch: '500ms', drain: '2s', healthTimeout: '20s' },
    certificates: { directory: 'https://acme.sandbox.test:14000/dir', ca: AUTHORITIES },
  });
}

beforeAll(async () => {
  host = await appHost(NAME, DOMAIN);
  declare('first');
  const brought = await deploy(['up', 'prod', '--project', project.folder]);
  expect(brought.code, brought.stderr).toBe(0);
});

afterAll(async () => {
  await down([NAME]);
});

const served = (): Promise<string> =>
  browse(host, DOMAIN, '/version', { timeout: 3000 }).then(
    ({ status, body }) => (status === 200 ? body : `status ${status}`),
    ({ message }: Error) => message,
  );

const STATES = ['preflight', 'pulled', 'commanded', 'started', 'gated', 'flipped', 'watched', 'drained'] as const;
type State = (typeof STATES)[number];

/** Who may be struck, and how. */
const STRIKES = {
  laptop: async (child: { kill(signal: NodeJS.Signals): void }) => child.kill('SIGKILL'),
  connection: async () => {
    await runInside(NAME, ['sh', '-c', 'pkill -KILL -f "^sshd-session: deploy" || pkill -KILL -f "sshd: deploy"']);
  },
  runner: async () => killRunners(NAME),
  dockerd: async () => {
    await runInside(NAME, ['systemctl', 'kill', '--signal=KILL', 'docker.service']);
  },
  nginx: async () => {
    await runInside(NAME, ['systemctl', 'kill', '--signal=KILL', 'nginx.service']);
  },
} as const;

let number = 0;

/** Releases a version of its own and strikes once the state is told; resolves with that version. */
async function strikeAt(
  state: State,
  strike: (child: { kill(signal: NodeJS.Signals): void }) => Promise<unknown>,
): Promise<string> {
  number += 1;
  const version = `release-${number}`;
  declare(version);
  let struck: Promise<unknown> | undefined;
  await deploy(['up', 'prod', '--json', '--project', project.folder], {
    onEvent(event, child) {
      if (event.type === 'release.state' && event.state === state) struck ??= strike(child);
    },
  });
  expect(struck, `${state} was never told`).toBeDefined();
  await struck;
  return version;
}

/** One of the two versions serves without anybody's help, and the next command brings the new one live. */
async function converges(before: string, version: string): Promise<string> {
  await expect.poll(() => runnersOf(NAME).length, { timeout: 60_000 }).toBe(0);
  await expect.poll(async () => [before, version].includes(await served()), { timeout: 60_000 }).toBe(true);
  const between = await served();
  const next = await deploy(['up', 'prod', '--json', '--project', project.folder]);
  expect(next.code, next.stderr).toBe(0);
  expect(await served()).toBe(version);
  return between === version ? 'the new one' : 'the old one';
}

/** Where each is struck; the runner is struck at every state by another test. */
const STRUCK: Readonly<Record<keyof typeof STRIKES, readonly State[]>> = {
  laptop: STATES,
  dockerd: STATES,
  runner: ['commanded', 'gated', 'flipped'],
  connection: ['pulled', 'started', 'flipped'],
  nginx: ['started', 'gated', 'flipped'],
};

const cases = (Object.keys(STRIKES) as (keyof typeof STRIKES)[]).flatMap((who) =>
  STRUCK[who].map((state) => [who, state] as const),
);

test.each(cases)('%s killed at `%s`: one of the two serves, and the next command converges', async (who, state) => {
  const before = await served();
  const version = await strikeAt(state, STRIKES[who]);
  const meanwhile = await converges(before, version);
  console.log(`${who.padEnd(11)} ${state.padEnd(10)} served meanwhile: ${meanwhile}`);
});

test.each(['started', 'flipped', 'drained'] as const)(
  'the host shut down at `%s`: one of the two serves after its boot, and the next command converges',
  async (state) => {
    const before = await served();
    const version = await strikeAt(state, async () => {
      killRunners(NAME);
      await stop(NAME);
      host = await start(NAME);
    });
    const meanwhile = await converges(before, version);
    console.log(`host        ${state.padEnd(10)} served meanwhile: ${meanwhile}`);
  },
);

test('afterwards nothing is left over: one container serves, one is warm, and the ledger is whole', async () => {
  const { stdout } = await runInside(NAME, ['docker', 'ps', '--filter', 'name=shop-', '--format', '{{.Names}}']);
  expect(stdout.trim().split('\n').sort()).toEqual(['shop-blue-web-1', 'shop-green-web-1']);
  const ledger = (await runInside(NAME, ['cat', '/var/lib/slipway/ledger/shop.ndjson'])).stdout;
  // Six times whoever was at work was killed; after `drained` it may have ended before the blow came.
  expect(ledger.split('\n').filter((line) => line.includes('"interrupted, ')).length).toBeGreaterThanOrEqual(5);
  expect((await deploy(['plan', 'prod', '--exit-code', '--project', project.folder])).code).toBe(0);
});
