import { connect, type Socket } from 'node:net';
import { asDeployError, DeployError } from '#core/errors';
import { CARRIED, Carriage, carriedFrame } from '#protocol/carriage';
import { frames } from '#protocol/frames';
import type { Host } from '#resources/resource';
import { runningContainer } from './app-containers.ts';
import { readFacts } from './facts.ts';
import { createHost } from './machine.ts';

/** Seconds a container of this host may take to accept a connection. */
const CONNECT = 5;

/** Where a tunnel leads. */
interface Far {
  readonly app: string;
  readonly target: string;
  readonly port: number;
}

// Looked up for each connection: what serves may be another container by then.
async function reachContainer(host: Host, { app, target, port }: Far): Promise<Socket> {
  const container = await runningContainer(host, app, target);
  const socket = connect({ host: container.addresses[0] ?? '', port, allowHalfOpen: true, noDelay: true });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.setTimeout(CONNECT * 1000, () => reject(new Error(`no answer within ${CONNECT} s`)));
      socket.once('connect', resolve).once('error', reject);
    });
  } catch (error) {
    socket.destroy();
    throw new DeployError('container-missing', `${container.name} at port ${port}: ${(error as Error).message}.`, {
      hint: `Check with \`deploy status <environment>\` that ${target} is well, and which port it listens on.`,
    });
  }
  return socket.setTimeout(0);
}

/**
 * Carries connections between the laptop and a port of a container that serves, all of them over standard input and
 * output, until the laptop leaves. sshd forwards nothing on a hardened host, and no port of a container is published.
 */
export async function pipe([app = '', target = '', port = '']: readonly string[]): Promise<number> {
  process.on('SIGHUP', () => undefined);
  process.stdout.on('error', () => undefined);
  const host = createHost(await readFacts(), { say: () => undefined, warn: () => undefined });
  const far = { app, target, port: Number(port) };
  const carriage = new Carriage((bytes) => {
    if (!process.stdout.destroyed) process.stdout.write(bytes);
  });
  const opening = new Set<number>();

  async function open(connection: number): Promise<void> {
    opening.add(connection);
    try {
      const socket = await reachContainer(host, far);
      if (!opening.delete(connection)) return void socket.destroy();
      carriage.say(CARRIED.opened, connection);
      carriage.carry(connection, socket);
    } catch (thrown) {
      const { message, hint } = asDeployError(thrown);
      if (opening.delete(connection)) carriage.say(CARRIED.closed, connection, `${message}\n${hint}`);
    }
  }

  for await (const frame of frames(process.stdin)) {
    const heard = carriedFrame(frame);
    if (heard.type === CARRIED.open) void open(heard.connection);
    else if (!(heard.type === CARRIED.closed && opening.delete(heard.connection))) carriage.hear(heard);
  }
  opening.clear();
  carriage.end();
  return 0;
}
