import { DeployError } from '#core/errors';
import { repositoryOf } from '#core/image-name';
import type { Environment } from '#inventory/environment';

/** The service that gives a release its name: the one behind the first route, else the first one. */
export function mainService({ services, routes }: Environment): string | undefined {
  return routes[0]?.paths[0]?.service ?? Object.keys(services)[0];
}

/** The same environment with other images for some of its services. */
export function withImages(environment: Environment, images: Readonly<Record<string, string>>): Environment {
  const services = Object.fromEntries(
    Object.entries(environment.services).map(([name, service]) => [
      name,
      { ...service, image: images[name] ?? service.image },
    ]),
  );
  return { ...environment, services };
}

/** The images of the app itself under another tag: those of the main service's repository, and no others. */
export function imagesTagged(environment: Environment, tag: string): Readonly<Record<string, string>> {
  if (!/^(?:sha256:[0-9a-f]{64}|\w[\w.-]{0,127})$/.test(tag)) {
    throw new DeployError('usage', `${tag} is no tag of an image.`, { hint: 'Write it like --tag v42.' });
  }
  const main = environment.services[mainService(environment) ?? ''];
  if (main === undefined) {
    throw new DeployError('usage', `${environment.name} has no service to release.`, {
      hint: `Declare one below \`services\` in inventory/${environment.name}.yaml.`,
    });
  }
  const repository = repositoryOf(main.image);
  return Object.fromEntries(
    Object.values(environment.services)
      .filter(({ image }) => repositoryOf(image) === repository)
      .map(({ name }) => [name, `${repository}${tag.startsWith('sha256:') ? '@' : ':'}${tag}`]),
  );
}
