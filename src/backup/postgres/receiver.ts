import { createHash } from 'node:crypto';
import type { PostgresSource } from '#protocol/backup';
import { removeContainer, startContainer } from '#release/containers';
import type { Host } from '#resources/resource';
import { SLOT } from './observe.ts';

/** A container as far as receiving goes. */
export interface Contained {
  readonly id: string;
  readonly image: string;
  readonly running: boolean;
  /** Its first process, as the host numbers it. */
  readonly pid: number;
  /** ISO 8601; tells one start from the next. */
  readonly started: string;
  readonly configuration?: string;
}

/** What a receiver is made from: where any of it changes, it is made anew. */
export interface Wanted {
  readonly app: string;
  readonly source: PostgresSource;
  readonly database: Contained;
  readonly port: number;
  /** The folder on the host that the log is written to. */
  readonly archive: string;
}

interface Described {
  readonly Id: string;
  readonly Image: string;
  readonly State: {
    readonly Running: boolean;
    readonly Paused: boolean;
    readonly Pid: number;
    readonly StartedAt: string;
  };
  readonly Config: { readonly Labels: Readonly<Record<string, string>> | null };
}

const CONFIGURATION = 'slipway.configuration';

/**
 * It starts the receiver again by itself, at once where somebody killed it, and more and more slowly while it fails. Where nobody listens at all
 * any more, the network that it shares is that of a server which has ended: only a new start of the container finds the
 * next one, and Docker makes it, a moment later so that the server is there.
 */
const SCRIPT = `
wait=1
while :; do
  began=$(date +%s)
  pg_receivewal "$@"
  [ $? -lt 128 ] && [ $(($(date +%s) - began)) -lt 10 ] || wait=1
  sleep "$wait"
  [ "$wait" -ge 16 ] || wait=$((wait * 2))
  pg_isready --quiet
  [ $? -lt 2 ] || { sleep 2; exit 1; }
done
`;

/** What the receiver's container is called. */
export function receiverOf({ container }: Pick<PostgresSource, 'container'>): string {
  return `${container}-receiver`;
}

/** A container by its name; undefined where there is none. */
export async function contained(host: Host, name: string): Promise<Contained | undefined> {
  const found = await host.docker<Described>(`/containers/${name}/json`);
  if (found === undefined) return undefined;
  const configuration = found.Config.Labels?.[CONFIGURATION];
  return {
    id: found.Id,
    image: found.Image,
    running: found.State.Running && !found.State.Paused,
    pid: found.State.Pid,
    started: found.State.StartedAt,
    ...(configuration === undefined ? {} : { configuration }),
  };
}

function declaration({ app, source, database, port, archive }: Wanted) {
  return {
    Image: database.image,
    Entrypoint: ['sh', '-c', SCRIPT, 'receiver'],
    Cmd: [
      ...['--directory=/archive', `--slot=${SLOT}`, '--no-loop', '--status-interval=1', '--no-password'],
      // Syncing what each commit wrote, on the disk that the server itself syncs it to, costs as much as receiving it.
      ...(source.synchronous ? ['--synchronous'] : []),
    ],
    // It writes what only root may read, and is root in nothing else.
    User: '0:0',
    Env: [`PGHOST=127.0.0.1`, `PGPORT=${port}`, `PGUSER=${source.user}`, `PGAPPNAME=${SLOT}`, 'PGCONNECT_TIMEOUT=10'],
    Labels: { 'slipway.app': app, 'slipway.receiver': source.name },
    // What was received is on disk: there is nothing to end in peace.
    StopSignal: 'SIGKILL',
    StopTimeout: 1,
    Healthcheck: { Test: ['NONE'] },
    HostConfig: {
      Binds: [`${archive}:/archive`],
      // PostgreSQL lets in who connects from its own address, without a word about it in its configuration.
      NetworkMode: `container:${database.id}`,
      RestartPolicy: { Name: 'always' },
      ReadonlyRootfs: true,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges:true'],
      PidsLimit: 32,
      LogConfig: { Type: 'local', Config: { 'max-size': '1m', 'max-file': '2' } },
    },
  };
}

function digestOf(wanted: Wanted): string {
  return createHash('sha256')
    .update(JSON.stringify(declaration(wanted)))
    .digest('hex');
}

/** Whether a receiver is the one that is wanted, and runs. */
export function isAsWanted(receiver: Contained | undefined, wanted: Wanted): boolean {
  return receiver?.running === true && receiver.configuration === digestOf(wanted);
}

/** Starts a receiver; one that is there already goes first. */
export async function startReceiver(host: Host, wanted: Wanted): Promise<void> {
  const { Labels, ...rest } = declaration(wanted);
  await removeReceiver(host, wanted.source);
  const body = { ...rest, Labels: { ...Labels, [CONFIGURATION]: digestOf(wanted) } };
  const name = encodeURIComponent(receiverOf(wanted.source));
  const made = await host.docker<{ Id: string }>(`/containers/create?name=${name}`, { method: 'POST', body });
  if (made !== undefined) await startContainer(host, made.Id);
}

/** Ends a receiver for good, where there is one. */
export async function removeReceiver(host: Host, source: PostgresSource): Promise<void> {
  await removeContainer(host, receiverOf(source));
}

/** Seconds of a receiver's words that tell of its present trouble: it tries more often than that. */
const RECENT = 45;

/** What the receiver said of late, the last at the end. */
export async function wordsOf(host: Host, source: PostgresSource): Promise<string> {
  const since = Math.floor(Date.now() / 1000) - RECENT;
  const path = `/containers/${receiverOf(source)}/logs?stdout=true&stderr=true&tail=12&since=${since}`;
  return ((await host.docker<string>(path)) ?? '').toString().trim();
}
