import type { Found, HostProbe } from '#audit/audit';
import type { Host } from '#resources/resource';

const FILE = '/etc/docker/daemon.json';

type Config = Readonly<Record<string, unknown>>;

interface Info extends Config {
  readonly SecurityOptions?: readonly string[] | null;
}

interface Network {
  readonly Options?: Readonly<Record<string, string>> | null;
}

interface Container {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly Ports?: readonly { readonly IP?: string; readonly PublicPort?: number; readonly Type?: string }[] | null;
  readonly Mounts?: readonly { readonly Source?: string }[] | null;
}

interface Engine {
  readonly info: Info;
  readonly bridge: Readonly<Record<string, string>>;
  readonly containers: readonly Container[];
  /** daemon.json with what the command line adds: what dockerd was started with and says nowhere. */
  readonly config: Config;
}

const listed = (names: readonly string[]): string => (names.length === 0 ? 'none' : [...new Set(names)].join(','));

/** Options on the command line of a running dockerd, as keys of daemon.json. */
export function commandLineConfig(argv: readonly string[]): Config {
  const config: Record<string, unknown> = {};
  const hosts: string[] = [];
  for (const [index, word] of argv.entries()) {
    const [, name, inline] = /^(?:--([a-z0-9-]+)|-H)(?:=(.*))?$/.exec(word) ?? [];
    if (name === undefined && !word.startsWith('-H')) continue;
    const next = argv[index + 1];
    const value = inline ?? (next === undefined || next.startsWith('-') ? 'true' : next);
    if (name === undefined || name === 'host') hosts.push(value);
    else config[name] = value;
  }
  return hosts.length === 0 ? config : { ...config, hosts };
}

function parse(text: string | undefined): Config {
  try {
    return JSON.parse(text ?? '{}') as Config;
  } catch {
    return {};
  }
}

async function commandLine(host: Host): Promise<readonly string[]> {
  const pid = (await host.readFile('/run/docker.pid'))?.trim();
  const text = pid === undefined ? undefined : await host.readFile(`/proc/${pid}/cmdline`);
  return (text ?? '').split('\0').filter((word) => word !== '');
}

async function readEngine(host: Host): Promise<Engine | undefined> {
  const [info, network, containers, file, argv] = await Promise.all([
    host.docker<Info>('/info'),
    host.docker<Network>('/networks/bridge'),
    host.docker<readonly Container[]>('/containers/json'),
    host.readFile(FILE),
    commandLine(host),
  ]);
  if (info === undefined) return undefined;
  const config = { ...parse(file), ...commandLineConfig(argv) };
  return { info, bridge: network?.Options ?? {}, containers: containers ?? [], config };
}

const nameOf = ({ Names, Id }: Container): string => Names[0]?.slice(1) ?? Id.slice(0, 12);

async function privileged(host: Host, containers: readonly Container[]): Promise<string> {
  const all = containers.map(async (container) => {
    const details = await host.docker<{ HostConfig?: { Privileged?: boolean } }>(`/containers/${container.Id}/json`);
    return details?.HostConfig?.Privileged === true ? [nameOf(container)] : [];
  });
  return listed((await Promise.all(all)).flat());
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}

function tcpSocket({ hosts }: Config): string {
  const tcp = (Array.isArray(hosts) ? hosts : []).filter((one): one is string => /^tcp:/.test(String(one)));
  return listed(tcp.map((one) => one.replace('tcp://', '')));
}

/** Of which key of daemon.json a value is. */
const FROM: Readonly<Record<string, string>> = {
  LiveRestoreEnabled: 'live-restore',
  LoggingDriver: 'log-driver',
  'tcp-socket': 'hosts',
};

async function effectiveValue(
  host: Host,
  key: string,
  { info, bridge, containers, config }: Engine,
): Promise<string | undefined> {
  switch (key) {
    case 'no-new-privileges':
      return String((info.SecurityOptions ?? []).some((option) => option.includes('no-new-privileges')));
    case 'userland-proxy':
      return String(config['userland-proxy'] ?? true);
    case 'icc':
      return bridge['com.docker.network.bridge.enable_icc'] ?? 'true';
    case 'ip':
      return bridge['com.docker.network.bridge.host_binding_ipv4'] ?? '0.0.0.0';
    case 'tcp-socket':
      return tcpSocket(config);
    case 'privileged':
      return privileged(host, containers);
    case 'docker-socket':
      return listed(
        containers
          .filter(({ Mounts }) => (Mounts ?? []).some(({ Source }) => Source?.endsWith('/docker.sock') === true))
          .map(nameOf),
      );
    case 'published':
      return listed(
        containers
          .flatMap(({ Ports }) => Ports ?? [])
          .filter(({ PublicPort, IP, Type }) => PublicPort !== undefined && Type === 'tcp' && !isLoopback(IP ?? ''))
          .map(({ PublicPort }) => String(PublicPort)),
      );
    default:
      return info[key] === undefined ? undefined : String(info[key]);
  }
}

/** Keys are those of `docker info`, and what the engine is configured with or runs: see PROBES. */
export const docker: HostProbe = {
  name: 'docker',
  async ask(host, keys) {
    const engine = await readEngine(host);
    if (engine === undefined) {
      const cannot = (await host.has('dockerd')) ? 'the Docker engine does not answer' : 'Docker is not installed';
      return new Map(keys.map((key) => [key, { cannot }]));
    }
    const found = keys.map(async (key): Promise<readonly [string, Found]> => {
      const from = (FROM[key] ?? key) in engine.config ? FILE : undefined;
      return [key, { value: await effectiveValue(host, key, engine), from }];
    });
    return new Map(await Promise.all(found));
  },
};
