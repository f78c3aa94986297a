import { DeployError } from '#core/errors';
import { projectOf, readSlots } from '#release/slots';
import type { Host } from '#resources/resource';
import { ownedBy } from './ownership.ts';

interface Listed {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly Image: string;
  readonly State: string;
  readonly Labels: Readonly<Record<string, string>>;
  readonly NetworkSettings?: { readonly Networks?: Readonly<Record<string, { readonly IPAddress: string }>> };
}

/** A container of an app, running or not. */
export interface AppContainer {
  readonly id: string;
  readonly name: string;
  /** The service or the accessory, as the inventory names it. */
  readonly service: string;
  readonly part: 'blue' | 'green' | 'workers' | 'accessory';
  readonly state: string;
  readonly image: string;
  /** On the app's network first. */
  readonly addresses: readonly string[];
}

async function partsOf(app: string): Promise<ReadonlyMap<string, AppContainer['part']>> {
  const owned = [...(await ownedBy(app)).values()].filter(({ kind }) => kind === 'compose-project');
  return new Map<string, AppContainer['part']>([
    ...owned.map(({ footprint }) => [String(footprint['name']), 'accessory'] as const),
    ...(['blue', 'green', 'workers'] as const).map((part) => [projectOf(app, part), part] as const),
  ]);
}

/** Every container of an app, in the order of parts and names; none where no engine answers. */
export async function containersOfApp(host: Host, app: string): Promise<readonly AppContainer[]> {
  const filters = encodeURIComponent(JSON.stringify({ label: ['com.docker.compose.project'] }));
  const [parts, listed] = await Promise.all([
    partsOf(app),
    host.docker<Listed[]>(`/containers/json?all=true&filters=${filters}`),
  ]);
  const found = (listed ?? []).flatMap(({ Id, Names, Image, State, Labels, NetworkSettings }): AppContainer[] => {
    const part = parts.get(Labels['com.docker.compose.project'] ?? '');
    if (part === undefined || Labels['com.docker.compose.oneoff'] === 'True') return [];
    const networks = Object.entries(NetworkSettings?.Networks ?? {}).sort(([a], [b]) => +(b === app) - +(a === app));
    return [
      {
        id: Id,
        name: (Names[0] ?? Id.slice(0, 12)).replace(/^\//, ''),
        // A replica of a proxied service is a Compose service of its own: `web.1`.
        service: (Labels['com.docker.compose.service'] ?? '').replace(/\.\d+$/, ''),
        part,
        state: State,
        image: Image,
        addresses: networks.map(([, { IPAddress }]) => IPAddress).filter((address) => address !== ''),
      },
    ];
  });
  const order = ['blue', 'green', 'workers', 'accessory'];
  return found.sort((a, b) => order.indexOf(a.part) - order.indexOf(b.part) || (a.name < b.name ? -1 : 1));
}

/** The containers of a service or an accessory that serve now; those of all services where none is named. */
export async function servingContainers(
  host: Host,
  app: string,
  target: string | undefined,
): Promise<readonly AppContainer[]> {
  const [{ live }, containers] = await Promise.all([readSlots(app), containersOfApp(host, app)]);
  const serving = containers.filter(({ part }) => part === live || part === 'workers' || part === 'accessory');
  if (target === undefined) return serving.filter(({ part }) => part !== 'accessory');
  return serving.filter(({ service }) => service === target);
}

/** A running container of a service or an accessory; `container-missing` where none runs. */
export async function runningContainer(host: Host, app: string, target: string): Promise<AppContainer> {
  const serving = await servingContainers(host, app, target);
  const running = serving.find(({ state }) => state === 'running');
  if (running !== undefined) return running;
  throw await missing(host, app, target, serving);
}

/** Why there is no container of that name to speak with. */
export async function missing(
  host: Host,
  app: string,
  target: string,
  serving: readonly AppContainer[],
): Promise<DeployError> {
  const stopped = serving[0];
  if (stopped !== undefined) {
    return new DeployError('container-missing', `${stopped.name} does not run: it is ${stopped.state}.`, {
      hint: `Read why with \`deploy logs <environment> ${target}\`; \`deploy up <environment>\` starts it again.`,
    });
  }
  const names = [...new Set((await containersOfApp(host, app)).map(({ service }) => service))];
  return new DeployError('container-missing', `No container of ${app} is called ${target}.`, {
    hint:
      names.length === 0 ? 'Nothing runs yet: start with `deploy up <environment>`.' : `There are ${names.join(', ')}.`,
  });
}
