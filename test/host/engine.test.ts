import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { command, file, reload } from '#playbook/resources';
import type { Event } from '#protocol/event';
import { down, type SandboxHost, up } from '#sandbox/sandbox';
import { openHost } from '#ssh/operation';
import { builtRunner, type OnHost, onHost } from '#test/support/converge';

const NAME = 'engine';
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

const types = (events: readonly Event[]) => events.map(({ type }) => type);

describe('converging', () => {
  const greeting = (content: string) => file({ path: '/etc/greeting', content, mode: '0640' });

  test('a plan tells what an up then does, and changes nothing', async () => {
    const plan = await host.plan([greeting('hello\n')]);
    expect(plan.steps).toMatchObject([{ action: 'create', resource: 'file:/etc/greeting' }]);
    expect((await host.sh('test -e /etc/greeting')).code).toBe(1);

    const applied = await host.up([greeting('hello\n')]);
    expect(applied.steps).toEqual(plan.steps);
    expect((await host.sh('stat -c %a:%U /etc/greeting; cat /etc/greeting')).stdout).toBe('640:root\nhello\n');
  });

  test('the second plan is empty, and the second up changes nothing', async () => {
    expect((await host.plan([greeting('hello\n')])).steps).toEqual([]);
    const again = await host.up([greeting('hello\n')]);
    expect(types(again.events)).toEqual(['operation.started', 'plan', 'operation.finished']);
  });

  test('a change is shown as a diff', async () => {
    const { steps } = await host.plan([greeting('goodbye\n')]);
    expect(steps[0]?.changes[0]?.diff).toContain('-hello\n+goodbye');
  });

  test('what is no longer declared is removed, and what stood there before comes back', async () => {
    await host.sh('echo mine > /etc/theirs; chmod 600 /etc/theirs; echo other > /etc/untouched');
    await host.up([greeting('hello\n'), file({ path: '/etc/theirs', content: 'ours\n' })]);
    const run = await host.up([]);
    expect(run.steps.map(({ action, resource }) => `${action} ${resource}`)).toEqual([
      'remove file:/etc/theirs',
      'remove file:/etc/greeting',
    ]);
    const { stdout } = await host.sh('cat /etc/theirs /etc/untouched; stat -c %a /etc/theirs; ls /etc/greeting');
    expect(stdout).toBe('mine\nother\n600\n');
  });

  test('two apps share what both declare: the last to leave takes it along', async () => {
    const shared = file({ path: '/etc/shared', content: 'x\n' });
    await host.up([shared], { app: 'one' });
    await host.up([shared], { app: 'two' });
    expect((await host.up([], { app: 'one' })).steps).toEqual([]);
    expect((await host.sh('cat /etc/shared')).stdout).toBe('x\n');
    expect((await host.up([], { app: 'two' })).steps).toHaveLength(1);
    expect((await host.sh('cat /etc/shared')).code).toBe(1);
  });

  test('an apply that does not help is an error, not a success', async () => {
    const { error } = await host.up([
      command({ name: 'futile', why: 'try in vain', command: ['true'], check: ['false'] }),
    ]);
    expect(error?.code).toBe('not-converged');
    expect(error?.resource).toBe('command:futile');
    await host.up([]);
  });

  test('a resource that fails leaves the rest for the next run', async () => {
    const wanted = [
      file({ path: '/etc/first', content: '1\n' }),
      command({
        name: 'needs-a-file',
        why: 'wait for the file',
        command: ['test', '-e', '/tmp/there'],
        creates: '/tmp/there',
      }),
      file({ path: '/etc/last', content: '2\n' }),
    ];
    const failed = await host.up(wanted);
    expect(failed.error?.code).toBe('command-failed');
    expect((await host.sh('cat /etc/first; ls /etc/last')).stdout).toBe('1\n');
    await host.sh('touch /tmp/there');
    const run = await host.up(wanted);
    expect(run.error).toBeUndefined();
    expect(run.steps.map(({ resource }) => resource)).toEqual(['file:/etc/last']);
    await host.up([]);
  });
});

describe('triggers', () => {
  const configured = file({ path: '/etc/demo.conf', content: 'a\n' }, { triggers: [reload('cron-like.service')] });

  beforeAll(async () => {
    await host.sh(`cat > /etc/systemd/system/cron-like.service <<'END'
[Service]
ExecStart=/bin/sleep infinity
ExecReload=/bin/sh -c 'echo reloaded >> /run/reloads'
END
systemctl daemon-reload; systemctl start cron-like`);
  });

  test('a unit is reloaded once after what it reads has changed', async () => {
    const run = await host.up([
      configured,
      file({ path: '/etc/demo2.conf', content: 'b\n' }, { triggers: [reload('cron-like.service')] }),
    ]);
    expect(types(run.events).filter((type) => type === 'trigger.fired')).toHaveLength(1);
    expect((await host.sh('cat /run/reloads')).stdout).toBe('reloaded\n');
  });

  test('a reload that an interrupted run left over is made good', async () => {
    await host.sh(
      'rm /run/reloads; mkdir -p /var/lib/slipway/pending; touch /var/lib/slipway/pending/reload@cron-like.service',
    );
    const other = file({ path: '/etc/demo2.conf', content: 'b\n' }, { triggers: [reload('cron-like.service')] });
    const plan = await host.plan([configured, other]);
    expect(plan.steps).toContainEqual(expect.objectContaining({ action: 'trigger', resource: 'cron-like.service' }));
    await host.up([configured, other]);
    expect((await host.sh('cat /run/reloads; ls /var/lib/slipway/pending')).stdout).toBe('reloaded\n');
    expect((await host.plan([configured, other])).steps).toEqual([]);
  });
});

describe('an operation and its end', () => {
  const slow = (name: string, seconds: number) =>
    command({
      name,
      why: 'take a while',
      command: ['sh', '-c', `sleep ${seconds}; touch /run/${name}`],
      creates: `/run/${name}`,
    });

  async function begin(name: string, seconds: number) {
    const session = await openHost(host.connection, builtRunner(), () => undefined);
    const events = session.ask({
      verb: 'up',
      app: 'slow',
      environment: 'test',
      by: 'tests',
      resources: [{ ...slow(name, seconds), playbook: 'test' }],
      secrets: [],
      loginUser: sandbox.user,
    });
    for await (const event of events) if (event.type === 'resource.started') break;
    return session;
  }

  test('a second operation is refused with who holds the lock, and the first can be followed', async () => {
    await begin('slow-one', 3);
    const refused = await host.up([]);
    expect(refused.error?.code).toBe('locked');
    expect(refused.error?.message).toContain('tests');
    const session = await openHost(host.connection, builtRunner(), () => undefined);
    const seen: Event[] = [];
    for await (const event of session.ask({ verb: 'attach' })) seen.push(event);
    expect(types(seen)).toEqual([
      'operation.started',
      'plan',
      'resource.started',
      'resource.changed',
      'operation.finished',
    ]);
  });

  test('it survives the death of its connection', async () => {
    const other = await onHost(sandbox);
    const session = await openHost(other.connection, builtRunner(), () => undefined);
    for await (const event of session.ask({
      verb: 'up',
      app: 'slow',
      environment: 'test',
      by: 'tests',
      resources: [{ ...slow('survivor', 2), playbook: 'test' }],
      secrets: [],
      loginUser: sandbox.user,
    })) {
      if (event.type === 'resource.started') break;
    }
    await other[Symbol.asyncDispose]();
    await expect.poll(async () => (await host.sh('test -e /run/survivor')).code, { timeout: 10_000 }).toBe(0);
  });

  test('a runner that is killed leaves no lock, says so to who attaches, and the next run goes on', async () => {
    await expect.poll(async () => (await host.up([])).error, { timeout: 10_000 }).toBeUndefined();
    await begin('killed', 30);
    await host.sh(`kill -9 $(sed -n 's/.*"pid":\\([0-9]*\\).*/\\1/p' /run/slipway/operation.json)`);
    const session = await openHost(host.connection, builtRunner(), () => undefined);
    const seen: Event[] = [];
    for await (const event of session.ask({ verb: 'attach' })) seen.push(event);
    const last = seen.at(-1);
    expect(last?.type === 'operation.failed' && last.error.code).toBe('operation-died');
    await host.sh('pkill -f "sleep 30"; touch /run/killed');
    expect((await host.up([slow('killed', 30)], { app: 'slow' })).error).toBeUndefined();
  });
});

describe('secrets', () => {
  test('a secret is in no event, no log and no plan, and only in the file that needs it', async () => {
    const secret = 'canary-7Kq2/p"x';
    const wanted = [file({ path: '/etc/secret.env', content: `TOKEN=${secret}\n`, mode: '0600' }, { sensitive: true })];
    const runs = [await host.plan(wanted, { secrets: [secret] }), await host.up(wanted, { secrets: [secret] })];
    expect(JSON.stringify(runs)).not.toContain('canary-7Kq2');
    const { stdout } = await host.sh("grep -rlF 'canary-7Kq2' /etc /var /opt /run /tmp /root /home 2>/dev/null");
    expect(stdout).toBe('/etc/secret.env\n');
    await host.up([]);
  });
});
