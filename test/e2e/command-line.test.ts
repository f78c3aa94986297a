import { expect, test } from 'vitest';
import { VERBS } from '#cli/verbs/index';
import { ERROR_CODES } from '#core/error-codes';
import { run } from '#core/run';
import { builtCli, deploy } from '#test/support/cli';
import { makeProject } from '#test/support/project';

test('`deploy` alone and with --help shows every verb', async () => {
  const help = await deploy(['--help']);
  expect(help.code).toBe(0);
  for (const verb of Object.keys(VERBS)) expect(help.stdout).toMatch(new RegExp(`^  ${verb} `, 'm'));
});

test.each(Object.keys(VERBS))('`deploy %s --help` explains its arguments', async (verb) => {
  const help = await deploy([verb, '--help']);
  expect(help.code).toBe(0);
  expect(help.stdout).toContain(`Usage: deploy ${verb}`);
});

test('a verb that does not exist is a usage error with the nearest one that does', async () => {
  const ended = await deploy(['plann', 'prod']);
  expect(ended.code).toBe(2);
  expect(ended.stderr).toContain('Did you mean plan?');
});

test('`deploy explain` knows every code, and refuses others', async () => {
  const all = await deploy(['explain']);
  for (const code of Object.keys(ERROR_CODES)) expect(all.stdout).toContain(`${code} (exit `);
  expect((await deploy(['explain', 'host-unreachable'])).stdout).toContain('exit 6');
  expect((await deploy(['explain', 'nonsense'])).code).toBe(2);
});

test('who reads only the beginning sees no failure', async () => {
  const script = 'set -o pipefail; "$0" "$1" explain | head -n 1';
  const output = await run(['bash', '-c', script, process.execPath, builtCli()]);
  expect(output).toMatchObject({ exitCode: 0, stderr: '' });
});

test('outside a project it says so', async () => {
  const ended = await deploy(['up', 'prod'], { cwd: '/' });
  expect(ended.code).toBe(2);
  expect(ended.stderr).toContain('There is no inventory/ folder in / or above.');
});

test('an environment that does not exist is answered with those that do', async () => {
  const project = makeProject();
  project.write('staging', {});
  const ended = await deploy(['up', 'prod'], { cwd: project.folder });
  expect(ended.code).toBe(2);
  expect(ended.stderr).toContain('staging');
});

test('for machines an error is one line of JSON', async () => {
  const project = makeProject();
  project.write('prod', {
    app: 'shop',
    hosts: { web: { address: '127.0.0.1', port: 1 } },
    ssh: {
      authorizedKeys: ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExample01 me@here'],
    },
  });
  const ended = await deploy(['plan', 'prod', '--json'], { cwd: project.folder });
  expect(ended.code).toBe(6);
  expect(JSON.parse(ended.stdout)).toMatchObject({ type: 'error', code: 'host-unreachable', host: 'web' });
});
