import { askHosts } from '#cli/ask';
import type { ReleaseOptions } from '#cli/carry-out';
import { hostsOf } from '#cli/operate';
import { projectDirectory } from '#cli/project';
import { promotedImages } from '#cli/promoted-images';
import { releaseImages } from '#cli/release';
import { engineShipment } from '#cli/shipment';
import type { Verb } from '#cli/verb';
import { DeployError } from '#core/errors';
import { type EngineImage, inspectLocal } from '#images/engine';
import { loadEnvironment } from '#inventory/load';

/** The very image that an environment runs, where this machine has it: it came from no registry. */
async function localImage(from: string, reference: string, id: string): Promise<EngineImage> {
  const image = await inspectLocal(id);
  if (image !== undefined) return { ...image, reference };
  throw new DeployError(
    'digest-unknown',
    `${reference} in ${from} came from no registry, and is not on this machine.`,
    {
      hint: `Promote from where it was made (\`docker image inspect ${id.slice(0, 19)}\` works there), or push it to a registry.`,
    },
  );
}

async function promote(from: string, to: string, options: ReleaseOptions): Promise<number> {
  const directory = projectDirectory(options.project);
  const [source, target] = await Promise.all([loadEnvironment(directory, from), loadEnvironment(directory, to)]);
  const answers = await askHosts(source, hostsOf(source, []), { verb: 'releases', app: source.app });
  const lives = answers.map(({ host, events, error }) => {
    if (error !== undefined) throw error;
    const listed = events.find((event) => event.type === 'releases.listed');
    const live = listed?.releases.find(({ state }) => state === 'live');
    if (live !== undefined) return { host, live };
    throw new DeployError('release-unknown', `Nothing is live on ${host} of ${from}.`, {
      hint: `Release there first: \`deploy release ${from}\`.`,
      host,
    });
  });
  const { tag, images, ids } = promotedImages(source, target, lives);
  if (options.json !== true) {
    process.stderr.write(`${from} runs ${tag}:\n`);
    for (const [service, image] of Object.entries(images)) process.stderr.write(`  ${service}  ${image}\n`);
  }
  await using shipment = engineShipment(
    target.app,
    await Promise.all(Object.entries(ids).map(([reference, id]) => localImage(from, reference, id))),
  );
  return await releaseImages(target, images, shipment, `release ${tag}, which ${from} runs`, options);
}

export const verb: Verb = {
  define(command) {
    command
      .argument('<from>', 'the environment whose live release is taken')
      .argument('<to>', 'the environment that gets it')
      .option('--probe <rate>', 'send so many requests a second to the public URLs meanwhile; a lost one takes it back')
      .option('--wait', 'wait for another operation on a host to end, instead of exiting with 5')
      .option('--yes', 'do not ask, where the environment is protected')
      .option('--json', 'print every event as a line of JSON to standard output')
      .option('--project <folder>', 'the folder that holds inventory/')
      .addHelpText(
        'after',
        '\nThe very images that the hosts of the first environment run, by digest;\nenvironment, routes and secrets are those of the second.',
      )
      .action(async (from: string, to: string, options: ReleaseOptions) => {
        process.exitCode = await promote(from, to, options);
      });
  },
};
