import { DeployError } from '#core/errors';
import { repositoryOf } from '#core/image-name';
import type { Environment } from '#inventory/environment';
import type { ListedRelease } from '#protocol/release';

interface LiveOn {
  readonly host: string;
  readonly live: ListedRelease;
}

/** What one environment runs, for another to have. */
interface Promoted {
  readonly tag: string;
  /** The image of each service. */
  readonly images: Readonly<Record<string, string>>;
  /** The ids of those that came from no registry, by the names they have among `images`. */
  readonly ids: Readonly<Record<string, string>>;
}

/**
 * The images of a release that serves in one environment, as another environment names them: by tag, for whoever reads
 * it, and by digest, which decides.
 */
export function promotedImages(source: Environment, target: Environment, lives: readonly LiveOn[]): Promoted {
  const [first, ...others] = lives;
  if (first === undefined) throw new DeployError('usage', `${source.name} has no host.`, { hint: 'Name one.' });
  const services = JSON.stringify(first.live.services);
  const other = others.find(({ live }) => JSON.stringify(live.services) !== services);
  if (other !== undefined) {
    throw new DeployError(
      'hosts-disagree',
      `${first.host} runs ${first.live.tag} (${first.live.id}) and ${other.host} runs ${other.live.tag} (${other.live.id}).`,
      { hint: `Bring them to one release first: \`deploy release ${source.name} --tag …\`.` },
    );
  }
  const { tag } = first.live;
  const ids: Record<string, string> = {};
  const images = Object.entries(first.live.services).flatMap(([service, digest]) => {
    if (target.services[service] === undefined) return [];
    const declared = source.services[service]?.image ?? '';
    const [repository = '', hash] = digest.includes('@') ? digest.split('@') : [repositoryOf(declared)];
    const isApp = repositoryOf(declared) === repository && /^\w[\w.-]{0,127}$/.test(tag);
    const named = isApp ? `${repository}:${tag}` : repository;
    if (hash !== undefined) return [[service, `${named}@${hash}`] as const];
    ids[named] = digest;
    return [[service, named] as const];
  });
  return { tag, images: Object.fromEntries(images), ids };
}
