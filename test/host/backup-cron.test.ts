import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type BackedUp, backedUp } from '#test/support/backed-up';
import { ask } from '#test/support/release';
import { STATE, standingOf } from '#test/support/standing';

interface Heard {
  readonly url: string;
  readonly body: string;
}

let box: BackedUp;
let receiver: Server;
const heard: Heard[] = [];

/** The minute after the next, as cron's first two fields, so that it cannot have passed when the host is ready. */
let due: string;

/** Something that takes the pings, where the host reaches this machine. */
async function listen(address: string): Promise<string> {
  receiver = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    heard.push({ url: request.url ?? '', body });
    response.end('OK');
  });
  receiver.listen(0, address);
  await once(receiver, 'listening');
  return `http://${address}:${(receiver.address() as AddressInfo).port}/uuid`;
}

const alarms = async () => (await standingOf(box)).alarms.map(({ message }) => message);

/** What the receiver hears of the next look; cron must not look meanwhile. */
async function toldNext(): Promise<Heard | undefined> {
  heard.length = 0;
  await box.inside(`rm -f ${STATE}/told.json`);
  await box.job('watch');
  return heard[0];
}

beforeAll(async () => {
  box = await backedUp({ name: 'verbs-cron', redis: true, withoutBackups: true });
  const { facts } = await box.host.plan([]);
  const ping = await listen(facts.clientAddress ?? '');
  due = await box.says("date -d '+90 seconds' '+%-M %-H * * *'");
  await box.sql('create table orders (id int); insert into orders select generate_series(1, 1000);');
  const postgres = { backup: { full: due, incremental: false, dump: false } };
  await box.converge({
    withoutBackups: false,
    crons: true,
    postgres,
    accessories: { redis: { image: 'registry.sandbox.test/redis:8', aof: false, backup: { schedule: due } } },
    backups: { ping },
  });
  await box.says(`printf '{"at":"2026-01-01T00:00:00.000Z"}' > ${STATE}/escrow.json`);
});

afterAll(async () => {
  receiver?.close();
  await box?.[Symbol.asyncDispose]();
});

test('cron itself copies all data, records it, tells the journal, and says that all is well', async () => {
  const ran = async () =>
    (await box.records()).filter(({ job }) => job === 'full' || job === 'copy').map(({ result }) => result);
  await expect.poll(ran, { timeout: 240_000, interval: 3000 }).toEqual(['done', 'done', 'done', 'done']);
  const said = await box.says('journalctl --no-pager --output=cat --identifier=slipway-backup');
  for (const line of ['full postgres local: done', 'full postgres offsite: done', 'copy redis offsite: done']) {
    expect(said.split('\n')).toContain(line);
  }
  expect(said).not.toMatch(/AGE-SECRET-KEY|sesame/);
  await expect.poll(() => heard.map(({ url }) => url), { timeout: 120_000, interval: 1000 }).toContain('/uuid');
  const { standings, alarms: short } = await standingOf(box);
  expect(short).toEqual([]);
  expect(standings.map(({ source, repository, newest }) => [source, repository, newest !== undefined])).toEqual([
    ['postgres', 'local', true],
    ['redis', 'local', true],
    ['postgres', 'offsite', true],
    ['redis', 'offsite', true],
  ]);
  expect(await box.says('ls /var/mail /var/spool/mail 2>/dev/null | grep -v : || true')).toBe('');
});

test('a host whose cron is gone falls silent, which is the alarm that nobody has to send', async () => {
  await box.says('systemctl stop cron');
  // The look that was on its way ends first.
  await box.inside(`flock /run/slipway/slipway-backup-shop-watch.lock rm -f ${STATE}/told.json`);
  heard.length = 0;
  // Past the next minute, and the seconds that a look takes to tell.
  const second = Number(await box.says('date +%S'));
  await sleep((60 - second + 8) * 1000);
  expect(heard).toEqual([]);
  expect(await alarms()).toEqual(['cron does not run on the host: nothing is backed up by itself.']);
  const { events } = await ask(box.host, { verb: 'status', app: 'shop' });
  expect(events.find((event) => event.type === 'status.read')?.backups?.alarms).toHaveLength(1);
});

test('whoever looks while something is wrong tells what, and what to do', async () => {
  const told = await toldNext();
  expect(told?.url).toBe('/uuid/fail');
  expect(told?.body).toMatch(/^backups of shop \(prod\) on vps: an alarm\n- cron does not run/);
  expect(told?.body).toContain('systemctl enable --now cron');
});

test('a run that did not happen is seen, and forgotten when it is made up for', async () => {
  await box.says('systemctl start cron && systemctl stop cron');
  await box.says(`sed -i '/"copy"/d' ${STATE}/records.ndjson && touch -d '2 days ago' /etc/slipway/backups/shop.json`);
  expect((await alarms()).join('\n')).toMatch(/The job copy of redis was due .* and did not run/);
  expect((await box.job('copy', 'redis')).code).toBe(0);
  expect((await alarms()).join('\n')).not.toContain('The job copy of redis');
});

test('a receiver that is not there keeps nothing from being copied', async () => {
  receiver.close();
  receiver.closeAllConnections();
  await box.inside(`rm -f ${STATE}/told.json`);
  const { said } = await box.job('watch');
  expect(said).toContain('The ping does not reach its receiver');
  await box.inside(`sed -i 's/"at": [0-9]*/"at": 0/' ${STATE}/told.json`);
  expect((await box.job('watch')).said).not.toContain('receiver');
});

test('what leaves the inventory leaves the host, and the copies and their key stay', async () => {
  const key = await box.says('sha256sum /etc/slipway/backups/shop.key');
  await box.converge({ withoutBackups: false, crons: true, redis: false });
  expect(await box.says('ls /etc/cron.d')).not.toContain('redis');
  await box.converge({ withoutBackups: true });
  expect(await box.says('ls /etc/cron.d; ls /etc/slipway/backups')).not.toMatch(/slipway-backup|shop\.json/);
  expect(await box.says('sha256sum /etc/slipway/backups/shop.key')).toBe(key);
  expect(await box.says('docker ps --all --format "{{.Names}}"')).not.toContain('receiver');
  expect(await box.sql('select count(*) from pg_replication_slots')).toBe('0');
  expect(await box.says('ls /srv/offsite/vps/restic/snapshots | wc -l')).not.toBe('0');
});
