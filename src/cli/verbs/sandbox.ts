import { readFile } from 'node:fs/promises';
import type { Verb } from '#cli/verb';
import { EXIT } from '#core/error-codes';
import { DeployError } from '#core/errors';
import * as sandbox from '#sandbox/sandbox';

interface UpOptions {
  readonly release?: string;
  readonly variety?: readonly string[];
  readonly from?: string;
  readonly aptCache?: boolean;
  readonly json?: boolean;
}

const report = (message: string) => process.stderr.write(`${message}\n`);

function oneOf<T extends string>(value: string, allowed: readonly T[], what: string): T {
  const found = allowed.find((name) => name === value);
  if (found !== undefined) return found;
  throw new DeployError('usage', `There is no ${what} ${value}.`, { hint: `Choose one of ${allowed.join(', ')}.` });
}

function print(host: sandbox.SandboxHost): void {
  const varieties = host.varieties.length === 0 ? '' : `  ${host.varieties.join(', ')}`;
  process.stdout.write(`${host.name}  ${host.state}  ${host.address}  ${host.address6}  ${host.release}${varieties}\n`);
}

async function up(names: readonly string[], options: UpOptions): Promise<void> {
  for (const name of names) {
    const host = await sandbox.up({
      name,
      varieties: (options.variety ?? []).map((variety) =>
        oneOf(variety, Object.keys(sandbox.VARIETIES) as sandbox.Variety[], 'variety'),
      ),
      ...(options.release === undefined
        ? {}
        : { release: oneOf(options.release, ['debian-13', 'debian-12'] as const, 'release') }),
      ...(options.from === undefined ? {} : { from: options.from }),
      aptCache: options.aptCache === true,
      report,
    });
    if (options.json === true) process.stdout.write(`${JSON.stringify(host)}\n`);
    else print(host);
  }
}

export const verb: Verb = {
  define(command) {
    command.enablePositionalOptions();
    command
      .command('up')
      .description('boot bare hosts')
      .argument('[names...]', 'what to call them', ['vps'])
      .option('--release <name>', 'debian-13 (the default) or debian-12')
      .option('--variety <name...>', `how the image differs: ${Object.keys(sandbox.VARIETIES).join(', ')}`)
      .option('--from <host>', 'copy a stopped sandbox host instead of a bare image')
      .option('--apt-cache', 'share downloaded packages between hosts: quicker, and no measure of a first bring-up')
      .option('--json', 'print what stands as JSON')
      .action(up);
    command
      .command('down')
      .description('remove hosts; all of them and what stands for the internet when none is named')
      .argument('[names...]', 'which hosts')
      .option('--cache', 'remove the downloaded base as well')
      .action(async (names: readonly string[], options: { cache?: boolean }) => {
        await sandbox.down(names.length === 0 ? undefined : names, { cache: options.cache === true });
      });
    command
      .command('stop')
      .description('shut hosts down and keep them')
      .argument('<names...>', 'which hosts')
      .action(async (names: readonly string[]) => {
        for (const name of names) print(await sandbox.stop(name));
      });
    command
      .command('start')
      .description('boot stopped hosts again')
      .argument('<names...>', 'which hosts')
      .action(async (names: readonly string[]) => {
        for (const name of names) print(await sandbox.start(name));
      });
    command
      .command('list')
      .description('what stands')
      .option('--json', 'as JSON')
      .action(async (options: { json?: boolean }) => {
        const hosts = await sandbox.list();
        if (options.json === true) process.stdout.write(`${JSON.stringify(hosts)}\n`);
        else for (const host of hosts) print(host);
      });
    command
      .command('ssh')
      .description('log in to a host, or run a command there')
      .argument('<name>', 'which host')
      .argument('[command...]', 'what to run; a shell by default')
      .passThroughOptions()
      .action(async (name: string, words: readonly string[]) => {
        process.exitCode = await sandbox.shell(name, words);
      });
    command
      .command('name')
      .description('let a name below sandbox.test lead to a host')
      .argument('<name>', 'such as shop.sandbox.test')
      .argument('<host>', 'a sandbox host')
      .action(async (name: string, host: string) => {
        const found = (await sandbox.list()).find((candidate) => candidate.name === host);
        if (found === undefined) {
          throw new DeployError('sandbox-host-unknown', `No host named ${host} is in the sandbox.`, {
            hint: 'See what stands with `deploy sandbox list`.',
          });
        }
        await sandbox.setRecord(name, { a: [found.address], aaaa: [found.address6] });
      });
    command
      .command('internet')
      .description('start what stands for the internet: names, a certificate authority, a container registry')
      .option('--images', 'put the images of the demo app and its databases into the registry')
      .action(async (options: { images?: boolean }) => {
        const internet = await sandbox.internet({ report });
        const authorities = await sandbox.publishAuthorities();
        process.stdout.write(`${JSON.stringify({ ...internet, authorities }, undefined, 2)}\n`);
        if (options.images === true) {
          const { ensureImages } = await import('#sandbox/images/images');
          await ensureImages({
            registry: internet.registry,
            address: internet.address,
            ca: await readFile(internet.caFile, 'utf8'),
            onProgress: report,
          });
        }
        process.exitCode = EXIT.done;
      });
  },
};
