import { createServer, type Server, type Socket } from 'node:net';
import { oneHost, visit } from '#cli/ask';
import { paintFor } from '#cli/paint';
import { projectDirectory } from '#cli/project';
import { tunnelTarget } from '#cli/tunnel-target';
import type { Verb } from '#cli/verb';
import { EXIT } from '#core/error-codes';
import { DeployError } from '#core/errors';
import { loadEnvironment } from '#inventory/load';
import type { Connection } from '#ssh/connection';
import { asRoot, type Bundle } from '#ssh/runner';

interface TunnelOptions {
  readonly port?: string;
  readonly host?: string;
  readonly project?: string;
}

interface Far {
  readonly app: string;
  readonly target: string;
  readonly port: number;
}

/** Carries one connection: a channel of its own to a runner that speaks with the container. */
async function carry(near: Socket, connection: Connection, bundle: Bundle, far: Far): Promise<void> {
  near.on('error', () => undefined);
  near.pause();
  const argv = [`${bundle.folder}/slipway-host`, 'pipe', far.app, far.target, String(far.port)];
  const session = await connection.open(asRoot(connection.user, argv));
  near.once('close', () => session.end());
  const sent = (async () => {
    for await (const chunk of near) await session.write(chunk as Buffer);
    session.end();
  })();
  sent.catch(() => undefined);
  try {
    for await (const chunk of session.bytes()) {
      if (!near.write(chunk)) await new Promise((resolve) => near.once('drain', resolve).once('close', resolve));
      if (near.destroyed) break;
    }
  } finally {
    near.end();
  }
  const { code } = await session.closed;
  if (code !== 0) process.stderr.write(`✗ ${session.stderr.trim()}\n`);
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
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    carry(socket, connection, bundle, { app: environment.app, target, port }).catch((error: Error) => {
      socket.destroy();
      process.stderr.write(`✗ ${error.message}\n`);
    });
  });
  await listen(server, near);
  const address = server.address();
  const listening = address !== null && typeof address === 'object' ? address.port : near;
  const paint = paintFor(process.stderr);
  process.stdout.write(`127.0.0.1:${listening}\n`);
  process.stderr.write(
    `  ${paint.green('✓')} leads to ${paint.bold(`${target}:${port}`)} on ${host.name}\n    eight connections at a time; Ctrl-C ends it\n`,
  );
  await new Promise<void>((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  server.close();
  for (const socket of open) socket.destroy();
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
        '\nNo port of a container is published and sshd forwards nothing, so each\nconnection travels through the runner. The address it listens on is printed to\nstandard output.',
      )
      .action(async (environment: string, target: string, options: TunnelOptions) => {
        process.exitCode = await tunnel(environment, target, options);
      });
  },
};
