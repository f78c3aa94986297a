import { initOf, keeperOf } from '#sandbox/machine';
import { run } from '#sandbox/sandbox';

/** Runs a script in a sandbox host; rejects with what it said where it fails. */
export async function must(name: string, script: string): Promise<string> {
  const { exitCode, stdout, stderr } = await run(name, ['sh', '-euc', script], { timeout: 300 });
  if (exitCode !== 0) throw new Error(`${script}\nended with ${exitCode}:\n${stdout}${stderr}`);
  return stdout.trim();
}

/**
 * Has a sandbox host's Docker play the engine of the machine that deploys; resolves with the DOCKER_HOST that leads to it.
 * It is Debian's own, put there where it is missing.
 */
export async function laptopEngine(name: string): Promise<string> {
  await must(
    name,
    `export DEBIAN_FRONTEND=noninteractive
     command -v dockerd > /dev/null || { apt-get -qq update; apt-get -qq -y install docker.io > /dev/null 2>&1; }
     docker version > /dev/null`,
  );
  const keeper = await keeperOf(name);
  const init = keeper === undefined ? undefined : await initOf(keeper);
  if (init === undefined) throw new Error(`${name} does not run`);
  return `unix:///proc/${init.pid}/root/run/docker.sock`;
}
