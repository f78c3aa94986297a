import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DeployError } from '#core/errors';
import { type Container, complaint } from '#resources/compose-containers';
import { explainCompose } from '#resources/compose-failure';
import { composeProjectKind } from '#resources/compose-project';

const props = composeProjectKind.props.parse({
  name: 'shop-db',
  directory: '/etc/slipway/apps/shop/db',
  compose: 'services: {}\n',
  env: 'PASSWORD=canary-4711\n',
});

const root = { type: 'file', owner: 'root', group: 'root', size: 1 } as const;

function container(service: string, changes: Partial<Container> = {}): Container {
  return { id: service, name: service, service, hash: 'h1', state: 'running', unhealthy: false, ...changes };
}

function state(containers: readonly Container[], started: readonly string[], { compose, env } = props) {
  const digest = createHash('sha256')
    .update(JSON.stringify([props.compose, props.env ?? null]))
    .digest('hex');
  return {
    compose: { ...root, mode: '0644', content: compose },
    env: { ...root, mode: '0600', content: env ?? '' },
    started: { digest, containers: started },
    containers,
  };
}

const summaries = (...args: Parameters<typeof state>) =>
  composeProjectKind.diff(state(...args), props).map(({ summary }) => summary);

describe('what runs', () => {
  test('as the last start left it differs in nothing', async () => {
    const services = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('running', 'exited')));
    await fc.assert(
      fc.property(services, (all) => {
        const containers = all.map(([service, said]) => container(service, { state: said }));
        const started = all.map(([service, said]) => `${service} ${said} h1`).sort();
        expect(summaries(containers, started)).toEqual([]);
      }),
    );
  });

  test.each([
    ['is gone', [], ['start db: its container is gone']],
    ['is stopped', [container('db', { state: 'exited' })], ['start db: exited']],
    ['is another', [container('db', { hash: 'h2' })], ['start db: changed by hand']],
    ['is unhealthy', [container('db', { unhealthy: true })], ['restart db: unhealthy']],
    ['has company', [container('db'), container('spy')], ['remove spy']],
  ])('when it %s is told', (_, containers, expected) => {
    expect(summaries(containers, ['db running h1'])).toEqual(expected);
  });

  test('one replica less than before is told', () => {
    expect(summaries([container('web')], ['web running h1', 'web running h1'])).toEqual(['start web: too few']);
  });
});

describe('the files', () => {
  test('that differ are told, and of .env only that it does', () => {
    const changes = composeProjectKind.diff(
      state([container('db')], ['db running h1'], { ...props, compose: 'services: {a: {}}\n', env: 'PASSWORD=old\n' }),
      props,
    );
    expect(changes.map(({ summary }) => summary)).toEqual(['content', '.env']);
    expect(JSON.stringify(changes)).not.toContain('canary-4711');
  });

  test('a start that was interrupted is taken up again', () => {
    const interrupted = { ...state([], []), started: undefined };
    expect(composeProjectKind.diff(interrupted, props)).toEqual([{ summary: 'start' }]);
  });

  test('the footprint holds no secret', () => {
    expect(JSON.stringify(composeProjectKind.footprint(props))).not.toContain('canary-4711');
  });
});

test.each(['Shop', 'shop db', '-shop', ''])('%j is no name of a project', (name) => {
  expect(composeProjectKind.props.safeParse({ ...props, name }).success).toBe(false);
});

// As Docker 26.1 and Compose 2.26 said it.
test.each([
  [
    'image-not-found',
    'Error response from daemon: manifest for registry.example.com/nope:1 not found: manifest unknown: manifest unknown',
    'registry.example.com/nope:1',
  ],
  [
    'image-unauthorized',
    'Error response from daemon: Head "http://localhost:5000/v2/bb/manifests/1": no basic auth credentials',
    '',
  ],
  [
    'registry-unreachable',
    'Error response from daemon: Get "https://nowhere.invalid/v2/": dial tcp: lookup nowhere.invalid on 192.0.2.53:53: no such host',
    'no such host',
  ],
  [
    'registry-unreachable',
    'Error response from daemon: Get "http://localhost:5999/v2/": dial tcp [::1]:5999: connect: connection refused',
    'connection refused',
  ],
  [
    'port-taken',
    'Error response from daemon: driver failed programming external connectivity on endpoint e-web-1 (16b2): Error starting userland proxy: listen tcp4 0.0.0.0:80: bind: address already in use',
    'Port 80',
  ],
  [
    'port-taken',
    'Error response from daemon: driver failed programming external connectivity on endpoint e-web-1 (16b2): Bind for 0.0.0.0:8080 failed: port is already allocated',
    'Port 8080',
  ],
  ['disk-full', 'failed to register layer: write /usr/lib/libc.so: no space left on device', 'full'],
  ['compose-invalid', 'network x declared as external, but could not be found', 'network x'],
] as const)('%s is recognised', (code, said, part) => {
  const thrown = new DeployError('command-failed', `docker compose up for e failed:\n ${said}`, { hint: 'x' });
  const explained = explainCompose('e', thrown);
  expect(explained?.code).toBe(code);
  expect(explained?.message).toContain(part);
});

test('what is not known is not explained away', () => {
  expect(explainCompose('e', new DeployError('command-failed', 'something new', { hint: 'x' }))).toBeUndefined();
});

describe('a container', () => {
  const running = { Status: 'running', ExitCode: 0, OOMKilled: false, Error: '', StartedAt: '2020-01-01T00:00:00Z' };
  const now = new Date().toISOString();

  test.each([
    [{ RestartCount: 0, State: running }, undefined],
    [{ RestartCount: 3, State: running }, undefined],
    [{ RestartCount: 3, State: { ...running, StartedAt: now } }, 'ends again and again'],
    [{ RestartCount: 0, State: { ...running, Status: 'exited' } }, undefined],
    [{ RestartCount: 0, State: { ...running, Status: 'exited', ExitCode: 3 } }, 'ended (exit 3)'],
    [{ RestartCount: 0, State: { ...running, Status: 'restarting', ExitCode: 1 } }, 'ends again and again (exit 1)'],
    [{ RestartCount: 0, State: { ...running, OOMKilled: true } }, 'ran out of memory'],
    [{ RestartCount: 0, State: { ...running, Health: { Status: 'healthy' } } }, undefined],
    [
      { RestartCount: 0, State: { ...running, Health: { Status: 'unhealthy', Log: [{ Output: 'refused\n' }] } } },
      'is not healthy (its check says: refused)',
    ],
  ])('%j is said to be %j', (inspected, said) => {
    expect(complaint(inspected)).toBe(said);
  });
});
