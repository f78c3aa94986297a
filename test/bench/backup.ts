import { setTimeout as sleep } from 'node:timers/promises';
import type { DrillReport } from '#protocol/backup';
import type { Event } from '#protocol/event';
import { type BackedUp, DATABASE, OFFSITE } from '#test/support/backed-up';
import { ARCHIVE, type Ground, ground, MB } from './backup-host.ts';
import { median } from './measure.ts';
import { circumstances, print, type Row, row, spread } from './report.ts';

const NAME = 'bench-backup';
const RECEIVER = `${DATABASE}-receiver`;
/** Seconds of load in one measurement of transactions, of which a minute has one look and one shipment, and its clients. */
const LOAD = { seconds: 60, clients: 4 };
/** Seconds since the last shipment after which everything is killed: soon, and just before the next. */
const KILLS = [15, 52];
/** Where things are tried by hand. */
const HAND = '/root/by-hand';

type Samples = Record<string, number[]>;

function note(samples: Samples, name: string, value: number): void {
  samples[name] = [...(samples[name] ?? []), value];
}

const middle = (samples: Samples, name: string): number => median(samples[name] ?? []);

const stopCron = 'systemctl stop cron';
const startCron = 'systemctl start cron';
const watch = '/opt/slipway/current/slipway-host backup watch shop --now > /dev/null 2>&1 || true';

/**
 * A base into restic, against a dump into a file, each of everything: what is there already is not counted twice. The log
 * of what was made new for it is shipped before, as each minute's look does; a base ships what was written since.
 */
async function bases({ there, time }: Ground, rounds: number, samples: Samples): Promise<void> {
  for (let round = 1; round <= rounds; round += 1) {
    await there.says(stopCron);
    await there.sql('UPDATE texts SET text = md5(random()::text);');
    await there.sql('VACUUM FULL texts;');
    await there.sql('VACUUM (ANALYZE);');
    await caughtUp(there);
    await there.says(startCron);
    const ours = async () => {
      const { records, said } = await there.job('full', 'postgres');
      const [record] = records;
      if (record?.result !== 'done') throw new Error(`The base was not taken: ${said}`);
      note(samples, 'base into restic', record.duration);
      note(samples, 'base bytes', record.bytes ?? 0);
    };
    const theirs = async () =>
      note(
        samples,
        'pg_dump into a file',
        await time(`docker exec ${DATABASE} pg_dump --format=custom --username=app app > /root/dump`),
      );
    for (const turn of round % 2 === 1 ? [ours, theirs] : [theirs, ours]) await turn();
  }
}

async function transactions({ there }: Ground): Promise<number> {
  const said = await there.says(
    `docker exec ${DATABASE} pgbench --no-vacuum --client=${LOAD.clients} --time=${LOAD.seconds} --username=app app`,
  );
  return Number(/tps = ([\d.]+)/.exec(said)?.[1]);
}

/** Has everything received and shipped that was written until now. */
async function caughtUp({ says, sql }: BackedUp): Promise<void> {
  const received = "SELECT write_lsn >= pg_current_wal_flush_lsn() FROM pg_stat_replication WHERE state = 'streaming';";
  // Where the receiver was stopped for long, a look waits for it; where it is behind, the next one ships the rest.
  await says(`docker start ${RECEIVER}; ${watch}`, 900);
  while ((await sql(received)) !== 't') await sleep(500);
  await says(watch, 900);
}

/**
 * Transactions of a minute with a receiver, a look and a shipment, and without any of what backups have set up. Twice
 * without: what these differ by is noise. Before each the log of the last is received and its files are there to be used
 * again, so that no kind of run pays for what another has left.
 */
async function cost(place: Ground, rounds: number, samples: Samples): Promise<void> {
  const { there } = place;
  await there.says(stopCron);
  const withBackup = async () => {
    await there.sql('CHECKPOINT;');
    const shipping = sleep(LOAD.seconds * 500).then(() => there.says(watch));
    const rate = await transactions(place);
    await shipping;
    return rate;
  };
  const without = async () => {
    await there.sql('ALTER SYSTEM RESET summarize_wal;');
    await there.sql('SELECT pg_reload_conf();');
    await there.says(`docker stop ${RECEIVER}`);
    await there.sql('CHECKPOINT;');
    return transactions(place);
  };
  const turns = [
    { name: 'transactions a second without', turn: without },
    { name: 'transactions a second with backup', turn: withBackup },
    { name: 'transactions a second without, once more', turn: without },
  ];
  for (let round = 1; round <= rounds; round += 1) {
    for (let at = 0; at < turns.length; at += 1) {
      const next = turns[(round + at) % turns.length];
      if (next === undefined) continue;
      await caughtUp(there);
      const rate = await next.turn();
      console.error(`${next.name}: ${Math.round(rate)}`);
      note(samples, next.name, rate);
    }
  }
  await caughtUp(there);
  await there.says(startCron);
}

function reportOf(output: string): DrillReport {
  const events = output.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Event] : []));
  const report = events.flatMap((event) => (event.type === 'drill.ended' ? [event.report] : []))[0];
  if (report === undefined) throw new Error(`There is no report:\n${output}`);
  return report;
}

/** Seconds from the last commit of a log, as its own records say, to a moment in seconds since 1970. */
const LAST_COMMIT = `
D=$(ls -d ${ARCHIVE}/*/* | tail -1); rm -rf ${HAND}/log; mkdir -p ${HAND}/log; cp $D/* ${HAND}/log/
for P in ${HAND}/log/*.partial; do mv $P \${P%.partial}; done
IMAGE=$(docker inspect --format '{{.Image}}' ${DATABASE})
FIRST=$(ls ${HAND}/log | grep -v history | tail -2 | head -1); LAST=$(ls ${HAND}/log | grep -v history | tail -1)
docker run --rm --network=none --env TZ=UTC --volume ${HAND}/log:/log --entrypoint pg_waldump $IMAGE --path=/log --rmgr=Transaction $FIRST $LAST 2>/dev/null \\
  | grep -o 'COMMIT 20[0-9-]* [0-9:.]*' | tail -1 | cut -d' ' -f2-`;

/** Kills the database and its receiver in the same instant, and tells what of the last commits is where. */
async function losses({ there, cli }: Ground, samples: Samples): Promise<void> {
  await there.converge({ drills: { assert: ['SELECT extract(epoch FROM max(at)) FROM ticks'] } });
  for (const wait of KILLS) {
    // What is shipped last is a tick too: without one, nothing would tell when it was.
    await there.sql('INSERT INTO ticks VALUES (clock_timestamp());');
    await there.says(`${stopCron}; ${watch}; docker update --restart=no ${DATABASE} ${RECEIVER}`);
    const load = there.inside(
      `docker exec ${DATABASE} sh -c 'echo "INSERT INTO ticks VALUES (clock_timestamp());" > /tmp/tick.sql'
       docker exec ${DATABASE} pgbench --no-vacuum --client=2 --rate=200 --time=${wait + 30} --username=app --file=/tmp/tick.sql app`,
    );
    await sleep(wait * 1000);
    await there.says(`kill -9 $(docker inspect --format '{{.State.Pid}}' ${DATABASE} ${RECEIVER})`);
    await load;
    const local = Date.parse(`${(await there.says(LAST_COMMIT)).replace(' ', 'T')}Z`) / 1000;
    // What the clients were told: the database itself comes back from what it has on disk.
    await there.says(`docker start ${DATABASE}; until docker exec ${DATABASE} pg_isready --quiet; do sleep 0.2; done`);
    const told = Number(await there.sql('SELECT extract(epoch FROM max(at)) FROM ticks;'));
    const report = reportOf((await cli('drill', 'prod', '--json')).output);
    const answer = report.checks.find(({ name }) => name.startsWith('assertion'))?.found ?? report.why ?? '';
    const offsite = Number(/answered ([\d.]+)/.exec(answer)?.[1]);
    if (!(told > 0 && local > 0 && offsite > 0)) throw new Error(`${told}, ${local}, ${offsite}: ${answer}`);
    note(samples, 'lost, from the archive on the host', Math.max(0, told - local));
    note(samples, 'lost, from the repository off the host', Math.max(0, told - offsite));
    await there.says(
      `docker update --restart=unless-stopped ${DATABASE} ${RECEIVER}; docker start ${RECEIVER}; ${watch}; ${startCron}`,
    );
  }
  await there.converge();
}

/** What one does by hand: copy a base that is there as files, and replay. */
const BY_HAND = `
rm -rf ${HAND}/data; cp -a ${HAND}/base ${HAND}/data
cat >> ${HAND}/data/postgresql.auto.conf <<X
restore_command = 'cp /log/%f "%p"'
recovery_target_action = 'promote'
X
touch ${HAND}/data/recovery.signal; chown 999:999 ${HAND}/data/recovery.signal
docker rm -f by-hand > /dev/null 2>&1
docker run --detach --name by-hand --network=none --user=999:999 --volume ${HAND}/data:/var/lib/postgresql/data --volume ${HAND}/log:/log \\
  --entrypoint postgres $(docker inspect --format '{{.Image}}' ${DATABASE}) -D /var/lib/postgresql/data -c hot_standby=off -c synchronous_standby_names= > /dev/null
until docker exec by-hand psql --username=app --no-align --tuples-only --command='SELECT 1' app > /dev/null 2>&1; do sleep 0.1; done`;

/** The same database from a dump, in a server of its own. */
const FROM_DUMP = `
docker rm -f from-dump > /dev/null 2>&1
docker run --detach --name from-dump --network=none --env POSTGRES_USER=app --env POSTGRES_PASSWORD=x --volume /root/dump:/dump:ro $(docker inspect --format '{{.Image}}' ${DATABASE}) > /dev/null
until docker exec from-dump pg_isready --quiet --host=127.0.0.1; do sleep 0.1; done
docker exec from-dump pg_restore --username=app --dbname=app --jobs=2 /dump`;

/** Restoring from the repository off the host, on trial and to stay, against both ways by hand. */
async function restorations({ there, time, cli }: Ground, rounds: number, samples: Samples): Promise<void> {
  await there.says(
    `rm -rf ${HAND}; mkdir -p ${HAND}/base ${HAND}/log; ${stopCron}; ${watch}
docker exec ${DATABASE} pg_basebackup --host=127.0.0.1 --username=app --format=tar --wal-method=fetch --pgdata=- --checkpoint=fast | tar --extract --directory=${HAND}/base
chmod 700 ${HAND}/base; chown --recursive 999:999 ${HAND}/base`,
    600,
  );
  await there.job('full', 'postgres');
  await there.says(`docker exec ${DATABASE} pgbench --no-vacuum --client=4 --time=5 --username=app app; ${watch}
D=$(ls -d ${ARCHIVE}/*/* | tail -1); cp $D/* ${HAND}/log/; for P in ${HAND}/log/*.partial; do mv $P \${P%.partial}; done; chown --recursive 999:999 ${HAND}/log`);
  for (let round = 1; round <= rounds; round += 1) {
    const turns = [
      async () => note(samples, 'a copied base, and replay', await time(BY_HAND)),
      async () => note(samples, 'pg_restore, two jobs', await time(FROM_DUMP)),
      async () => {
        const { seconds, output } = await cli('restore', 'prod', '--into', 'scratch', '--only', 'postgres');
        if (/✗/.test(output)) throw new Error(output);
        note(samples, 'deploy restore', seconds);
        await there.says('rm -rf /var/lib/slipway/backup/shop/restored');
      },
      async () => {
        const { seconds, output } = await cli('drill', 'prod', '--json');
        const report = reportOf(output);
        if (report.verdict !== 'passed') throw new Error(`${report.verdict}: ${report.why}`);
        note(samples, 'deploy drill', seconds);
        note(samples, 'usable in a drill', report.rto ?? Number.NaN);
      },
    ];
    for (let turn = 0; turn < turns.length; turn += 1) await turns[(round + turn) % turns.length]?.();
    await there.says('docker rm -f by-hand from-dump > /dev/null 2>&1 || true');
  }
  await there.says(startCron);
}

/** Seconds until cron's next look has brought a receiver back that is gone for good. */
async function deadReceiver({ there }: Ground): Promise<number> {
  await there.says(
    `docker update --restart=no ${RECEIVER} && kill -9 $(docker inspect --format '{{.State.Pid}}' ${RECEIVER})`,
  );
  const began = performance.now();
  await there.says(
    `while docker ps --quiet --filter name=${RECEIVER} | grep -q .; do sleep 0.05; done
     for i in $(seq 1200); do docker ps --quiet --filter name=${RECEIVER} | grep -q . && exit 0; sleep 0.2; done; exit 1`,
  );
  return (performance.now() - began) / 1000;
}

function rowsOf(samples: Samples, dead: number): readonly Row[] {
  const of = (name: string) => middle(samples, name);
  const link = 'direct' as const;
  const rate = of('base bytes') / MB;
  const bare = 'transactions a second without';
  return [
    row({
      link,
      name: 'base into restic, all of it new',
      unit: 'MB/s',
      slipway: rate / of('base into restic'),
      peer: 'pg_dump --format=custom',
      peerValue: rate / of('pg_dump into a file'),
    }),
    row({
      link,
      name: 'pgbench, 4 clients',
      unit: 'tps',
      slipway: of('transactions a second with backup'),
      peer: 'without backup',
      peerValue: median([...(samples[bare] ?? []), ...(samples[`${bare}, once more`] ?? [])]),
    }),
    row({
      link,
      name: 'the same twice without backup: noise',
      unit: 'tps',
      slipway: of(`${bare}, once more`),
      peer: 'without backup',
      peerValue: of(bare),
    }),
    row({
      link,
      name: 'lost to kill -9, archive on the host',
      slipway: Math.max(...(samples['lost, from the archive on the host'] ?? [])),
      peer: 'at most',
      peerValue: 1,
    }),
    row({
      link,
      name: 'lost to kill -9, off the host',
      slipway: Math.max(...(samples['lost, from the repository off the host'] ?? [])),
      peer: 'at most',
      peerValue: 90,
    }),
    row({
      link,
      name: 'restore, end to end',
      slipway: of('deploy restore'),
      peer: 'pg_restore, two jobs',
      peerValue: of('pg_restore, two jobs'),
    }),
    row({
      link,
      name: 'drill, end to end',
      slipway: of('deploy drill'),
      peer: 'pg_restore, two jobs',
      peerValue: of('pg_restore, two jobs'),
    }),
    row({
      link,
      name: 'usable (RTO)',
      slipway: of('usable in a drill'),
      peer: 'a copied base, and replay',
      peerValue: of('a copied base, and replay'),
    }),
    row({ link, name: 'dead receiver noticed and replaced', slipway: dead, peer: 'at most', peerValue: 90 }),
  ];
}

/** What continuous backup costs, what is lost without warning, and how long restoring takes, of a database of a size. */
export async function backupBench(rounds = 2, _rate?: number, megabytes = 1000): Promise<void> {
  const conditions = circumstances();
  const say = (message: string) => console.error(message);
  say('making a host');
  await using place = await ground(NAME);
  const samples: Samples = {};
  // While there is little to restore, so that most of the time is spent on what is measured.
  say('losses');
  await place.there.job('full', 'postgres');
  await losses(place, samples);
  say(`filling the database with ${megabytes} MB`);
  const bytes = await place.fill(megabytes);
  say('bases');
  await bases(place, rounds, samples);
  say('transactions');
  await cost(place, rounds, samples);
  say('restorations');
  await restorations(place, rounds, samples);
  say('a dead receiver');
  const dead = await deadReceiver(place);
  const timings = Object.entries(samples).filter(([name]) => !/bytes|transactions/.test(name));
  console.log(spread(new Map(timings)));
  print('backup', rowsOf(samples, dead), [
    `the cluster has ${Math.round(bytes / MB)} MB; the repository is ${OFFSITE}, on the same disk`,
    conditions,
  ]);
}
