import { createServer, type Server, type Socket } from 'node:net';
import { oneHost, visit } from '#cli/ask';
import { paintFor } from '#cli/paint';
import { projectDirectory } from '#cli/project';
import { tunnelTarget } from '#cli/tunnel-target';
import type { Verb } from '#cli/verb';
import { EXIT } from '#core/error-codes';
import { DeployError } from '#core/errors';
import { loadEnvironment } from '#inventory/load';
import { CARRIED, Carriage, carriedFrame } from '#protocol/carriage';
import { frames } from '#protocol/frames';
import { asRoot } from '#ssh/runner';
import type { Session } from '#ssh/session';

interface TunnelOptions {
  readonly port?: string;
  readonly host?: string;
  readonly project?: string;
}

/** Carries the connections that a server accepts to a runner that speaks with the container; resolves when it ends. */
async function carry(server: Server, session: Session): Promise<void> {
  const carriage = new Carriage((bytes) => void session.write(bytes).catch(() => undefined));
  const waiting = new Map<number, Socket>();
  let count = 0;
  server.on('connection', (socket: Socket) => {
    count += 1;
    const connection = count;
    waiting.set(connection, socket);
    socket.on('error', () => undefined);
    socket.once('close', () => {
      if (waiting.delete(connection)) carriage.say(CARRIED.closed, connection);
    });
    carriage.say(CARRIED.open, connection);
  });
  try {
    for await (const frame of frames(session.bytes())) {
      const heard = carriedFrame(frame);
      const { type, connection, content } = heard;
      const socket = waiting.get(connection);
      if (socket === undefined) carriage.hear(heard);
      else if (type === CARRIED.opened) {
        waiting.delete(connection);
        carriage.carry(connection, socket);
      } else if (type === CARRIED.closed) {
        waiting.delete(connection);
        socket.destroy();
        process.stderr.write(`✗ ${content.toString('utf8')}\n`);
      }
    }
  } finally {
    carriage.end();
    for (const socket of waiting.values()) socket.destroy();
  }
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'EADDRINUSE'
          ? new DeployError('local-port-taken', `Something on this machine listens on 127.0.0.1:${port} already.`, {
              hint: `Name another port with --port, such as --port ${port + 10_000}.`,
            })
          : error,
      ),
    );
    server.listen(port, '127.0.0.1', resolve);
  });
}

async function tunnel(name: string, wanted: string, options: TunnelOptions): Promise<number> {
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const { target, port } = tunnelTarget(environment, wanted);
  const near = options.port === undefined ? port : Number(options.port);
  if (!Number.isInteger(near) || near < 0 || near > 65_535) {
    throw new DeployError('usage', `--port ${options.port} is no port.`, { hint: 'Ports go from 1 to 65535.' });
  }
  const host = oneHost(environment, options.host);
  await using there = await visit(environment, host, () => undefined);
  there.session.close();
  const { connection, bundle } = there;
  const argv = [`${bundle.folder}/slipway-host`, 'pipe', environment.app, target, String(port)];
  const session = await connection.open(asRoot(connection.user, argv));
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
  const carried = carry(server, session);
  await listen(server, near);
  const address = server.address();
  const listening = address !== null && typeof address === 'object' ? address.port : near;
  const paint = paintFor(process.stderr);
  process.stdout.write(`127.0.0.1:${listening}\n`);
  process.stderr.write(
    `  ${paint.green('✓')} leads to ${paint.bold(`${target}:${port}`)} on ${host.name}\n    Ctrl-C ends it\n`,
  );
  let isWanted = true;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      isWanted = false;
      session.end();
    });
  }
  await carried;
  server.close();
  if (isWanted) {
    // Rejects where the connection is lost, and so with what is to be done about that.
    await session.closed;
    throw new DeployError('operation-died', `The runner that carries the tunnel ended: ${session.stderr.trim()}`, {
      hint: 'Run the same command again.',
      host: host.name,
    });
  }
  return EXIT.done;
}

export const verb: Verb = {
  define(command) {
    command
      .argument('<environment>', 'the environment: a file below inventory/, without .yaml')
      .argument('<target>', 'a service or an accessory, with its port where that is not clear: web:9090')
      .option('--port <number>', 'the port on this machine; by default the same as there')
      .option('--host <name>', 'which host, where there are several')
      .option('--project <folder>', 'the folder that holds inventory/')
      .addHelpText(
        'after',
        '\nNo port of a container is published and sshd forwards nothing, so the\nconnections travel through a runner on the host. The address it listens on is printed to\nstandard output.',
      )
      .action(async (environment: string, target: string, options: TunnelOptions) => {
        process.exitCode = await tunnel(environment, target, options);
      });
  },
};
