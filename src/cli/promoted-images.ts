import { repositoryOf } from '#cli/images';
import { DeployError } from '#core/errors';
import type { Environment } from '#inventory/environment';
import type { ListedRelease } from '#protocol/release';

interface LiveOn {
  readonly host: string;
  readonly live: ListedRelease;
}

/**
 * The images of a release that serves in one environment, as another environment names them: by tag, for whoever reads
 * it, and by digest, which decides.
 */
export function promotedImages(
  source: Environment,
  target: Environment,
  lives: readonly LiveOn[],
): { readonly tag: string; readonly images: Readonly<Record<string, string>> } {
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
  const images = Object.entries(first.live.services).flatMap(([service, digest]) => {
    if (target.services[service] === undefined) return [];
    const [repository, hash] = digest.split('@');
    if (hash === undefined) {
      throw new DeployError('digest-unknown', `The image of ${service} in ${source.name} came from no registry.`, {
        hint: 'Push it to a registry that both environments reach, and release it from there.',
      });
    }
    const declared = source.services[service]?.image ?? '';
    const isApp = repositoryOf(declared) === repository && /^\w[\w.-]{0,127}$/.test(tag);
    const named = isApp ? `${repository}:${tag}` : `${repository}`;
    return [[service, `${named}@${hash}`] as const];
  });
  return { tag, images: Object.fromEntries(images) };
}
