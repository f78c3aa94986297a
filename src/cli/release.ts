import { whoAsks } from '#cli/ask';
import { withCanary } from '#cli/canary';
import { carryOut, type Plan, type ReleaseOptions, rollbackRequest } from '#cli/carry-out';
import { imagesTagged, mainService, withImages } from '#cli/images';
import { warn } from '#cli/narrator';
import { declarationsFor, hostsOf, loadPlaybooks } from '#cli/operate';
import { projectDirectory } from '#cli/project';
import { replaceData } from '#cli/restore';
import { momentText } from '#cli/restore-text';
import { type Shipment, shipmentFor, withPins } from '#cli/shipment';
import { EXIT } from '#core/error-codes';
import { DeployError } from '#core/errors';
import type { Environment } from '#inventory/environment';
import { loadEnvironment } from '#inventory/load';

interface Asking {
  /** Whether the run ends after each step of the canary. */
  readonly pause?: boolean;
  /** Whether the images are other than the inventory names. */
  readonly departs?: boolean;
}

/** The one request that brings an environment's release to a host. */
function releaseRequest(
  environment: Environment,
  shipment: Shipment,
  { pause = false, departs = false }: Asking,
): Plan['request'] {
  return async (host, facts, together) => {
    const { resources } = await declarationsFor(environment, host.name, facts);
    const declared = withPins(resources, shipment).find(({ kind }) => kind === 'release');
    if (declared === undefined) {
      throw new DeployError('usage', `${environment.name} has no service to release.`, {
        hint: `Declare one below \`services\` in inventory/${environment.name}.yaml.`,
      });
    }
    return {
      verb: 'release',
      app: environment.app,
      environment: environment.name,
      by: whoAsks(),
      release: declared.props,
      secrets: Object.values(environment.secrets),
      ...together,
      pause,
      departs,
    };
  };
}

/** What brings an environment's release live on all its hosts. */
function planFor(environment: Environment, shipment: Shipment, asking: Asking): Omit<Plan, 'doing'> {
  return {
    environment,
    shipment,
    request: releaseRequest(environment, shipment, asking),
    meanwhile: loadPlaybooks,
    hasCommand: environment.release.command !== undefined,
  };
}

function departs(environment: Environment, declared: Environment): boolean {
  return Object.values(environment.services).some(({ name, image }) => declared.services[name]?.image !== image);
}

/** `deploy release`: brings a tag, or what the inventory names, live on all hosts. */
export async function release(name: string, options: ReleaseOptions): Promise<number> {
  const declared = withCanary(await loadEnvironment(projectDirectory(options.project), name), options);
  const { tag, pause = false } = options;
  const environment = tag === undefined ? declared : withImages(declared, imagesTagged(declared, tag));
  const image = environment.services[mainService(environment) ?? '']?.image ?? '';
  await using shipment = await shipmentFor(environment, options.images);
  const asking = { pause, departs: departs(environment, declared) };
  const code = await carryOut({ ...planFor(environment, shipment, asking), doing: `release ${tag ?? image}` }, options);
  if (code === EXIT.done && asking.departs && options.json !== true) {
    const named = declared.services[mainService(declared) ?? '']?.image;
    warn(`inventory/${name}.yaml still names ${named}; \`deploy up ${name}\` would release that`);
  }
  return code;
}

/** `deploy rollback`: back to the release that served before, or to one that is named by tag or id. */
export async function rollback(name: string, options: ReleaseOptions & { readonly to?: string }): Promise<number> {
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const { to } = options;
  return carryOut(
    {
      environment,
      doing: `go back to ${to ?? 'the release before'}`,
      request: rollbackRequest(environment, to),
      hasCommand: false,
    },
    options,
  );
}

/** `deploy rollback --with-database`: release and data go back together, to where the one that replaced it began. */
export async function rollbackWithDatabase(
  name: string,
  options: ReleaseOptions & { readonly to?: string },
): Promise<number> {
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const hosts = hostsOf(environment, []);
  if (hosts.length > 1) {
    throw new DeployError('usage', `${name} has several hosts, and only one of them has the database.`, {
      hint: 'Restore it with `deploy restore --into in-place --host NAME`, then `deploy rollback`.',
    });
  }
  const { to } = options;
  const request = {
    ...{ verb: 'rollback-data' as const, app: environment.app, environment: name, by: whoAsks(), preview: true },
    ...(to === undefined ? {} : { to }),
  };
  return replaceData(
    environment,
    hosts,
    request,
    (previews) =>
      `go back to ${previews[0]?.tag ?? 'the release before'} and lose what was written since ${momentText(previews[0]?.reaches ?? '')}`,
    options,
  );
}

/** Releases an environment with the given images. */
export function releaseImages(
  declared: Environment,
  images: Readonly<Record<string, string>>,
  shipment: Shipment,
  doing: string,
  options: ReleaseOptions,
): Promise<number> {
  const environment = withImages(declared, images);
  const asking = { departs: departs(environment, declared) };
  return carryOut({ ...planFor(environment, shipment, asking), doing }, options);
}
