import { SCRATCH_LABEL, type Scratch } from '#backup/scratch';
import { DeployError } from '#core/errors';
import type { Host } from '#resources/resource';

interface Mount {
  readonly Type: string;
  readonly Name?: string;
  readonly Source: string;
  readonly Destination: string;
  readonly RW: boolean;
}

/** A container as the engine describes it, as far as another one is made like it. */
interface Described {
  readonly Id: string;
  readonly Name: string;
  readonly Image: string;
  readonly Config: Readonly<Record<string, unknown>> & { readonly Labels: Readonly<Record<string, string>> };
  readonly HostConfig: Readonly<Record<string, unknown>>;
  readonly Mounts: readonly Mount[];
  readonly NetworkSettings: {
    readonly Networks: Readonly<
      Record<string, { readonly Aliases?: readonly string[] | null; readonly IPAddress: string }>
    >;
  };
}

/** A container of production that a drill makes another one like. */
export interface Guest {
  readonly name: string;
  /** Its Compose project and service; undefined where Compose has not made it. */
  readonly project: string | undefined;
  readonly service: string;
  /** The names it answers to on the app's network. */
  readonly aliases: readonly string[];
  readonly described: Described;
}

/** Where guests are put up. */
export interface Stage {
  readonly host: Host;
  readonly network: string;
  readonly scratch: Scratch;
  /** Restored copies of volumes, by the volume's name or path. */
  readonly volumes: ReadonlyMap<string, string>;
}

// What a container is and may do; not what it is called, where it is reached, what it keeps, and who starts it again.
const CONFIG = ['Image', 'Env', 'Cmd', 'Entrypoint', 'User', 'WorkingDir', 'Healthcheck', 'StopSignal', 'StopTimeout'];
const HOST_CONFIG = [
  ...['CapAdd', 'CapDrop', 'SecurityOpt', 'ReadonlyRootfs', 'ShmSize', 'Init', 'Ulimits', 'Sysctls', 'Tmpfs'],
  ...['Memory', 'NanoCpus', 'PidsLimit', 'LogConfig', 'GroupAdd', 'ExtraHosts'],
];

function picked(all: Readonly<Record<string, unknown>>, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(names.flatMap((name) => (all[name] == null ? [] : [[name, all[name]]])));
}

/** The containers of an app's network: its release, its accessories. */
export async function guestsOf(host: Host, app: string): Promise<readonly Guest[]> {
  const filters = encodeURIComponent(JSON.stringify({ network: [app], status: ['running'] }));
  const listed = (await host.docker<{ Id: string }[]>(`/containers/json?filters=${filters}`)) ?? [];
  const all = await Promise.all(listed.map(({ Id }) => host.docker<Described>(`/containers/${Id}/json`)));
  return all.flatMap((described): readonly Guest[] => {
    if (described === undefined) return [];
    const { Labels } = described.Config;
    const aliases = described.NetworkSettings.Networks[app]?.Aliases ?? [];
    return [
      {
        name: described.Name.replace(/^\//, ''),
        project: Labels['com.docker.compose.project'],
        service: Labels['com.docker.compose.service'] ?? '',
        // Docker adds the beginning of its own id to them.
        aliases: aliases.filter((alias) => !described.Id.startsWith(alias)),
        described,
      },
    ];
  });
}

/** What a container of production mounts, without anything that production keeps. */
function mountsOf({ Mounts }: Described, volumes: Stage['volumes']): readonly Record<string, unknown>[] {
  return Mounts.map(({ Type, Name, Source, Destination, RW }) => {
    const restored = volumes.get(Name ?? Source) ?? volumes.get(Source);
    if (restored !== undefined) return { Type: 'bind', Source: restored, Target: Destination, ReadOnly: !RW };
    // What is only read is configuration; a new volume takes over what the image has at its place.
    if (!RW && Type === 'bind') return { Type, Source, Target: Destination, ReadOnly: true };
    return { Type: 'volume', Target: Destination };
  });
}

/** Makes a container like one of production in a drill's network, all but started; its address is known once it runs. */
export async function putUp(
  { host, network, scratch, volumes }: Stage,
  { name, service, aliases, described }: Guest,
): Promise<{ readonly id: string; address(): Promise<string> }> {
  const labels = Object.fromEntries(
    scratch.labels.flatMap((label) => (label === '--label' ? [] : [label.split('=') as [string, string]])),
  );
  const called = `slipway-drill-${scratch.id}-${name}`.toLowerCase();
  const made = await host.docker<{ Id: string }>(`/containers/create?name=${called}`, {
    method: 'POST',
    timeout: 120,
    body: {
      ...picked(described.Config, CONFIG),
      Image: described.Image,
      // Compose's own labels are those that the gate finds it by.
      Labels: { ...labels, 'com.docker.compose.project': network, 'com.docker.compose.service': service },
      HostConfig: {
        ...picked(described.HostConfig, HOST_CONFIG),
        Mounts: mountsOf(described, volumes),
        NetworkMode: network,
        RestartPolicy: { Name: 'no' },
      },
      NetworkingConfig: { EndpointsConfig: { [network]: { Aliases: [...aliases, name] } } },
    },
  });
  const id = made?.Id;
  if (id === undefined) {
    throw new DeployError('docker-failed', `Docker did not make a container like ${name}.`, {
      hint: `Look at \`docker ps --all --filter label=${SCRATCH_LABEL}\` on the host.`,
    });
  }
  return {
    id,
    address: async () => {
      const now = await host.docker<Described>(`/containers/${id}/json`);
      return now?.NetworkSettings.Networks[network]?.IPAddress ?? '';
    },
  };
}
