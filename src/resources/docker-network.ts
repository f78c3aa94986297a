import * as z from 'zod';
import { asDeployError, DeployError } from '#core/errors';
import { type Change, defineKind, type Host } from '#resources/resource';

const range = z.strictObject({
  /** CIDR, such as `172.30.0.0/24`. */
  subnet: z.string().regex(/^[0-9a-f.:]+\/\d+$/),
  gateway: z.string().optional(),
});

const props = z.strictObject({
  name: z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/),
  ...range.shape,
  ipv6: range.optional(),
  /** The name of the bridge interface; the kernel allows 15 characters. */
  bridge: z.string().max(15).optional(),
  /** Cut off from the outside. */
  internal: z.boolean().default(false),
  /** Options of the bridge driver, such as `com.docker.network.bridge.host_binding_ipv4`. */
  options: z.record(z.string(), z.string()).default({}),
});
type Props = z.output<typeof props>;

interface Inspected {
  readonly Id: string;
  readonly Name: string;
  readonly Driver: string;
  readonly Internal: boolean;
  readonly EnableIPv6: boolean;
  readonly IPAM: { readonly Config: readonly { readonly Subnet?: string; readonly Gateway?: string }[] | null };
  readonly Options: Readonly<Record<string, string>> | null;
}

interface State {
  readonly id: string;
  readonly driver: string;
  readonly ranges: readonly { readonly subnet: string; readonly gateway: string | undefined }[];
  readonly internal: boolean;
  readonly options: Readonly<Record<string, string>>;
}

const BRIDGE = 'com.docker.network.bridge.name';

const wantedOptions = ({ options, bridge }: Props): Readonly<Record<string, string>> =>
  bridge === undefined ? options : { ...options, [BRIDGE]: bridge };

async function inspect(host: Host, name: string): Promise<Inspected | undefined> {
  const all = await host.once('docker networks', async () => (await host.docker<Inspected[]>('/networks')) ?? []);
  return all.find(({ Name }) => Name === name);
}

function diff(state: State | undefined, wanted: Props): readonly Change[] {
  if (state === undefined) return [{ summary: `create ${wanted.subnet}` }];
  const changes: Change[] = [];
  if (state.driver !== 'bridge') changes.push({ summary: `driver ${state.driver} -> bridge` });
  if (state.internal !== wanted.internal) changes.push({ summary: `internal ${state.internal} -> ${wanted.internal}` });
  const ranges = wanted.ipv6 === undefined ? [wanted] : [wanted, wanted.ipv6];
  for (const { subnet, gateway } of ranges) {
    const same = state.ranges.find((there) => there.subnet === subnet);
    if (same === undefined) {
      const family = state.ranges.find((there) => there.subnet.includes(':') === subnet.includes(':'));
      changes.push({ summary: `subnet ${family?.subnet ?? 'none'} -> ${subnet}` });
    } else if (gateway !== undefined && same.gateway !== gateway) {
      changes.push({ summary: `gateway ${same.gateway ?? 'none'} -> ${gateway}` });
    }
  }
  if (wanted.ipv6 === undefined && state.ranges.some(({ subnet }) => subnet.includes(':'))) {
    changes.push({ summary: 'no IPv6' });
  }
  for (const [option, value] of Object.entries(wantedOptions(wanted))) {
    const there = state.options[option];
    if (there !== value) changes.push({ summary: `${option} ${there ?? 'unset'} -> ${value}` });
  }
  return changes;
}

interface Listed {
  readonly Names: readonly string[];
  readonly NetworkSettings: { readonly Networks: Readonly<Record<string, unknown>> | null };
}

/** Containers on a network, stopped ones too: these could not start again once it is gone. */
async function attached(host: Host, name: string): Promise<readonly string[]> {
  const all = (await host.docker<Listed[]>('/containers/json?all=1')) ?? [];
  const users = all.filter(({ NetworkSettings }) => name in (NetworkSettings.Networks ?? {}));
  return users.map(({ Names }) => (Names[0] ?? '').replace(/^\//, '')).sort();
}

async function removeNetwork(host: Host, name: string, id: string, why: string): Promise<void> {
  const users = await attached(host, name);
  if (users.length > 0) {
    throw new DeployError(
      'network-in-use',
      `The Docker network ${name} ${why}, but these use it: ${users.join(', ')}.`,
      {
        hint: `Take them down first (\`docker rm -f ${users.join(' ')}\` on the host) and run the same command again.`,
      },
    );
  }
  await host.docker(`/networks/${id}`, { method: 'DELETE' });
}

async function apply(host: Host, wanted: Props, state: State | undefined): Promise<void> {
  if (state !== undefined) {
    const changes = diff(state, wanted).map(({ summary }) => summary);
    await removeNetwork(host, wanted.name, state.id, `has to be made anew (${changes.join(', ')})`);
  }
  const ranges = wanted.ipv6 === undefined ? [wanted] : [wanted, wanted.ipv6];
  const body = {
    Name: wanted.name,
    Driver: 'bridge',
    CheckDuplicate: true,
    Internal: wanted.internal,
    EnableIPv6: wanted.ipv6 !== undefined,
    IPAM: {
      Driver: 'default',
      Config: ranges.map(({ subnet, gateway }) => ({
        Subnet: subnet,
        ...(gateway === undefined ? {} : { Gateway: gateway }),
      })),
    },
    Options: wantedOptions(wanted),
    Labels: { slipway: 'network' },
  };
  try {
    const made = await host.docker('/networks/create', { method: 'POST', body });
    if (made !== undefined) return;
  } catch (thrown) {
    const error = asDeployError(thrown);
    if (!/overlap|conflicts with network|in use/i.test(error.message)) throw error;
    const networks = (await host.docker<Inspected[]>('/networks')) ?? [];
    const list = networks
      .flatMap(({ Name, IPAM }) => (IPAM.Config ?? []).map(({ Subnet }) => `${Name} ${Subnet ?? ''}`))
      .join(', ');
    throw new DeployError(
      'subnet-taken',
      `The Docker network ${wanted.name} cannot have ${wanted.subnet}, since there are already: ${list}.`,
      { hint: 'Choose another subnet, or remove the network that is in its way.', cause: error },
    );
  }
  throw new DeployError('docker-failed', `The Docker network ${wanted.name} cannot be made: no engine answers.`, {
    hint: 'Look at `systemctl status docker` on the host.',
  });
}

/** A bridge network of Docker with addresses of its own. */
export const dockerNetworkKind = defineKind({
  kind: 'docker-network',
  summary: 'A bridge network of Docker with the given addresses; never made anew under containers that use it.',
  props,
  id: ({ name }) => name,
  async read(host, { name }): Promise<State | undefined> {
    const network = await inspect(host, name);
    if (network === undefined) return undefined;
    return {
      id: network.Id,
      driver: network.Driver,
      ranges: (network.IPAM.Config ?? []).flatMap(({ Subnet, Gateway }) =>
        Subnet === undefined ? [] : [{ subnet: Subnet, gateway: Gateway }],
      ),
      internal: network.Internal,
      options: network.Options ?? {},
    };
  },
  diff,
  apply,
  footprint: ({ name, subnet }) => ({ name, subnet }),
  async remove(host, footprint) {
    const name = footprint.name as string;
    const networks = (await host.docker<Inspected[]>('/networks')) ?? [];
    const network = networks.find(({ Name }) => Name === name);
    if (network !== undefined) await removeNetwork(host, name, network.Id, 'is no longer declared');
  },
});
