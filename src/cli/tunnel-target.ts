import { DeployError } from '#core/errors';
import type { Environment } from '#inventory/environment';

/** PostgreSQL's and PgBouncer's port in their containers. */
const POSTGRES = 5432;
const REDIS = 6379;

/** The port that a service or an accessory is known to listen on; undefined where that is not declared. */
function usualPort({ accessories, routes }: Environment, target: string): number | undefined {
  const accessory = accessories[target];
  if (accessory?.type === 'postgres') return POSTGRES;
  if (accessory?.type === 'redis') return REDIS;
  const pools = Object.values(accessories).flatMap((known) =>
    known.type === 'postgres' ? [known.pgbouncer?.name] : [],
  );
  if (pools.includes(target)) return POSTGRES;
  return routes.flatMap(({ paths }) => paths).find(({ service }) => service === target)?.port;
}

/** Where a tunnel leads: `postgres`, `web`, or `web:9090`. */
export function tunnelTarget(
  environment: Environment,
  wanted: string,
): { readonly target: string; readonly port: number } {
  const [target = '', named] = wanted.split(':');
  const port = named === undefined ? usualPort(environment, target) : Number(named);
  if (port !== undefined && Number.isInteger(port) && port >= 1 && port <= 65_535) return { target, port };
  throw new DeployError(
    'tunnel-unclear',
    named === undefined ? `No route leads to ${target}, so its port is not known.` : `${named} is no port.`,
    { hint: `Write it behind the name: \`deploy tunnel ${environment.name} ${target}:8080\`.` },
  );
}
