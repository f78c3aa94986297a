import { readFileSync } from 'node:fs';
import { ensureImages } from '#sandbox/images/images';
import { AUTHORITIES } from '#sandbox/places';
import { type Internet, internet, publishAuthorities, type SandboxHost, setRecord, up } from '#sandbox/sandbox';
import { type DelayProxy, startDelayProxy } from '#test/support/delay-proxy';
import { laptopEngine, must } from '#test/support/laptop-engine';
import { deploy } from './deploy.ts';
import { removeHosts } from './hosts.ts';
import { median, timed } from './measure.ts';
import { ENVIRONMENT, makeProject, type Project, wayTo, writeInventory } from './project.ts';
import { circumstances, print, type Row, row } from './report.ts';

const NAME = 'bench-push';
const DOMAIN = 'bench-push.sandbox.test';
/** The host whose Docker plays the engine of the machine that deploys. */
const LAPTOP = 'bench-push-laptop';
/** A loopback address of its own, so that the host is on port 22 there too. */
const FAR = '127.0.10.205';
/** Milliseconds each way. */
const LINKS = { direct: 0, '50ms': 25 } as const;
/** Bytes of the layer that changes: random, so that nothing makes it smaller. */
const LAYER = 1_000_000;
/** Bytes that make the image one of 300 MB, half of them random. */
const BALLAST = 123_000_000;

/** What one way of bringing an image took. */
interface Sample {
  /** Bytes that went to the host, as they are on the wire. */
  readonly bytes: number;
  /** Seconds from the command until the host had the image. */
  readonly seconds: number;
}

function inventory(host: SandboxHost, there: Internet) {
  const environment = { DATABASE_URL: 'none', REDIS_URL: 'none' };
  return {
    app: 'bench',
    hosts: { [host.name]: { address: FAR, identityFile: host.keyFile } },
    services: { web: { image: 'acme/bench:base', healthcheck: { path: '/up' }, environment } },
    routes: { [DOMAIN]: 'web:3000' },
    release: { images: 'local', watch: '0s', drain: '2s', warm: '0s' },
    certificates: { directory: there.acmeDirectory, ca: AUTHORITIES },
  };
}

/** The app on 300 MB, without the layer that changes. */
async function makeBase(there: Internet): Promise<void> {
  await must(
    LAPTOP,
    `docker pull --quiet ${there.registry}/demo:v1
     mkdir -p /build; cd /build
     { head -c ${BALLAST / 2} /dev/urandom; head -c ${BALLAST / 2} /dev/zero; } > ballast
     printf 'FROM ${there.registry}/demo:v1\nCOPY ballast /app/ballast\n' | docker build --quiet --tag acme/bench:base --file - .`,
  );
}

/** Another version: the same but for its last layer. */
async function change(tag: string): Promise<void> {
  await must(
    LAPTOP,
    `mkdir -p /change; cd /change; head -c ${LAYER} /dev/urandom > blob
     printf 'FROM acme/bench:base\nCOPY blob /app/blob\n' | docker build --quiet --tag acme/bench:${tag} --file - .`,
  );
}

interface ReleaseEvent {
  readonly type: string;
  readonly state?: string;
  readonly at: string;
}

async function ours(project: Project, door: DelayProxy, tag: string): Promise<Sample> {
  const [sent, began] = [door.sent(), Date.now()];
  const { output } = await deploy('release', project, '--tag', tag, '--json');
  const events = output.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as ReleaseEvent] : []));
  const pulled = events.find(({ type, state }) => type === 'release.state' && state === 'pulled');
  if (pulled === undefined) throw new Error(`${tag} was not released:\n${output}`);
  return { bytes: door.sent() - sent, seconds: (Date.parse(pulled.at) - began) / 1000 };
}

async function byHand(project: Project, host: SandboxHost, door: DelayProxy, tag: string): Promise<Sample> {
  const sent = door.sent();
  const options = ['BatchMode=yes', 'IdentitiesOnly=yes', `UserKnownHostsFile=${project.knownHosts}`];
  const ssh = `ssh -F none -i ${host.keyFile} ${options.map((option) => `-o ${option}`).join(' ')} deploy@${FAR}`;
  const line = `docker save acme/bench:${tag} | gzip | ${ssh} sudo docker load`;
  const { seconds } = await timed(['bash', '-o', 'pipefail', '-c', line]);
  return { bytes: door.sent() - sent, seconds };
}

async function door(host: SandboxHost, port: number, oneWay: number): Promise<DelayProxy & AsyncDisposable> {
  const proxy = await startDelayProxy({ host: host.address, port, oneWay, listen: { host: FAR, port } });
  return { ...proxy, [Symbol.asyncDispose]: () => proxy.stop() };
}

const of = (samples: readonly Sample[], key: keyof Sample): number => median(samples.map((sample) => sample[key]));

function rowsOf(link: Row['link'], own: readonly Sample[], theirs: readonly Sample[]): readonly Row[] {
  const peer = 'docker save | gzip | ssh docker load';
  const megabytes = (samples: readonly Sample[]) => of(samples, 'bytes') / 1e6;
  return [
    row({
      ...{ name: 'bytes sent for a changed layer', link, unit: 'MB', slipway: megabytes(own) },
      ...{ peer: 'the layer itself', peerValue: LAYER / 1e6 },
    }),
    row({
      ...{ name: 'bytes sent for a changed layer', link, unit: 'MB', slipway: megabytes(own) },
      ...{ peer, peerValue: megabytes(theirs) },
    }),
    row({
      ...{ name: 'until the host has the image', link, slipway: of(own, 'seconds') },
      ...{ peer, peerValue: of(theirs, 'seconds') },
    }),
  ];
}

/** A change of one small layer in a large image, brought to a host without a registry. */
export async function pushBench(rounds = 3): Promise<void> {
  const there = await internet();
  await publishAuthorities();
  const ca = readFileSync(there.caFile, 'utf8');
  await ensureImages({ registry: there.registry, address: there.address, ca, names: ['demo:v1'] });
  await removeHosts([NAME, LAPTOP]);
  try {
    const host = await up({ name: NAME });
    await up({ name: LAPTOP, aptCache: true });
    process.env['DOCKER_HOST'] = await laptopEngine(LAPTOP);
    await makeBase(there);
    await setRecord(DOMAIN, { a: [host.address], aaaa: [host.address6] });
    using project = makeProject([wayTo(host, FAR)], there);
    writeInventory(project, inventory(host, there));
    const rows: Row[] = [];
    const notes: string[] = [];
    // Where the app is asked at the end of each command.
    await using _web = await door(host, 443, 0);
    for (const link of ['direct', '50ms'] as const) {
      await using ssh = await door(host, 22, LINKS[link]);
      if (link === 'direct') {
        console.error('bringing the host up, with an image of 300 MB');
        const { seconds } = await deploy('up', project);
        notes.push(
          `the whole image with all else, first: ${(ssh.sent() / 1e6).toFixed(0)} MB sent, ${seconds.toFixed(0)} s`,
        );
      }
      const samples: { readonly own: Sample[]; readonly theirs: Sample[] } = { own: [], theirs: [] };
      for (let round = 1; round <= rounds; round += 1) {
        console.error(`round ${round} of ${rounds}, ${link}`);
        await change(`own-${link}-${round}`);
        samples.own.push(await ours(project, ssh, `own-${link}-${round}`));
        await change(`hand-${link}-${round}`);
        samples.theirs.push(await byHand(project, host, ssh, `hand-${link}-${round}`));
      }
      rows.push(...rowsOf(link, samples.own, samples.theirs));
    }
    print('push', rows, [...notes, `${ENVIRONMENT}: ${LAYER} bytes of 300 MB change`, circumstances()]);
  } finally {
    await removeHosts([NAME, LAPTOP]);
  }
}
