import { connect } from 'node:net';
import { DeployError } from '#core/errors';
import { runningContainer } from './app-containers.ts';
import { readFacts } from './facts.ts';
import { createHost } from './machine.ts';

/** Seconds a container of this host may take to accept a connection. */
const CONNECT = 5;

/**
 * Carries bytes between standard input and output and a port of a container that serves: one connection of a tunnel.
 * sshd forwards nothing on a hardened host, and no port of a container is published.
 */
export async function pipe([app = '', target = '', port = '']: readonly string[]): Promise<number> {
  process.on('SIGHUP', () => undefined);
  const host = createHost(await readFacts(), { say: () => undefined, warn: () => undefined });
  const container = await runningContainer(host, app, target);
  const address = container.addresses[0] ?? '';
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ host: address, port: Number(port), allowHalfOpen: true, noDelay: true });
    socket.setTimeout(CONNECT * 1000, () => socket.destroy(new Error(`no answer within ${CONNECT} s`)));
    socket.once('connect', () => {
      socket.setTimeout(0);
      process.stdin.pipe(socket);
      socket.pipe(process.stdout);
    });
    socket.once('error', (error) => {
      const hint = `Check with \`deploy status <environment>\` that ${target} is well, and which port it listens on.`;
      reject(new DeployError('container-missing', `${container.name} at port ${port}: ${error.message}.`, { hint }));
    });
    socket.once('close', () => resolve());
    process.stdout.once('error', () => socket.destroy());
  });
  process.stdin.destroy();
  return 0;
}
