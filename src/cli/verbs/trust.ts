import { hostsOf } from '#cli/operate';
import { projectDirectory } from '#cli/project';
import { confirm, isInteractive } from '#cli/prompter';
import { connectOptions, firstTarget } from '#cli/reach';
import type { Verb } from '#cli/verb';
import { EXIT } from '#core/error-codes';
import { DeployError } from '#core/errors';
import type { Environment, Host } from '#inventory/environment';
import { loadEnvironment } from '#inventory/load';
import { fetchHostKey, knownKeys, pin } from '#ssh/connection';

interface TrustOptions {
  readonly host?: readonly string[];
  readonly fingerprint?: string;
  readonly project?: string;
}

async function trust(environment: Environment, host: Host, options: TrustOptions): Promise<void> {
  const connection = connectOptions(environment);
  const target = firstTarget(host);
  const key = await fetchHostKey(target, connection);
  const known = knownKeys(target, connection);
  if (known.some(({ fingerprint }) => fingerprint === key.fingerprint)) {
    process.stdout.write(`${host.name}: ${key.type} ${key.fingerprint} is pinned already.\n`);
    return;
  }
  process.stdout.write(`${host.name} (${host.address}) shows ${key.type} ${key.fingerprint}\n`);
  const file = connection.knownHosts[0] ?? '';
  if (known.length > 0) {
    const pinned = known.map(({ type, fingerprint }) => `${type} ${fingerprint}`).join(', ');
    throw new DeployError('host-key-changed', `Pinned is ${pinned}.`, {
      hint: `If the host was really made anew, remove its line from ${known[0]?.file ?? file} and run this again.`,
      host: host.name,
    });
  }
  if (options.fingerprint !== undefined && options.fingerprint !== key.fingerprint) {
    throw new DeployError('host-key-changed', `This is not the key with the fingerprint ${options.fingerprint}.`, {
      hint: 'Compare with what your provider shows for this host; do not connect before they agree.',
      host: host.name,
    });
  }
  if (options.fingerprint === undefined) {
    if (!isInteractive()) {
      throw new DeployError('host-key-unknown', 'Nobody is here to compare the fingerprint.', {
        hint: `Run \`deploy trust ${environment.name} --fingerprint ${key.fingerprint}\` once you have compared it.`,
        host: host.name,
      });
    }
    if (!(await confirm('Is this the fingerprint your provider shows for this host?'))) {
      throw new DeployError('host-key-unknown', 'The key was not pinned.', {
        hint: 'Compare the fingerprint with what your provider shows, then run this again.',
        host: host.name,
      });
    }
  }
  pin(file, target, key);
  process.stdout.write(`Pinned in ${file}.\n`);
}

export const verb: Verb = {
  define(command) {
    command
      .argument('<environment>', 'the environment: a file below inventory/, without .yaml')
      .option('--host <name...>', 'only these hosts')
      .option('--fingerprint <SHA256:…>', 'pin the key only if it has this fingerprint, without asking')
      .option('--project <folder>', 'the folder that holds inventory/')
      .action(async (name: string, options: TrustOptions) => {
        const environment = await loadEnvironment(projectDirectory(options.project), name);
        for (const host of hostsOf(environment, options.host ?? [])) await trust(environment, host, options);
        process.exitCode = EXIT.done;
      });
  },
};
