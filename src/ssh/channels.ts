import type { Duplex } from 'node:stream';
import type { Client, ClientChannel } from 'ssh2';
import { DeployError } from '#core/errors';
import { unlessAborted } from '#ssh/deadline';
import type { Route } from '#ssh/route';
import { type Carrier, killChannel, watch } from '#ssh/session';

/** Asks for a session and a command in it; rejects with session-refused, or with why the connection is gone. */
export function askForCommand(
  client: Client,
  route: Route,
  carrier: Carrier,
  command: string,
  signal: AbortSignal,
): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    const refuse = (cause: Error) =>
      reject(
        carrier.lost() ??
          new DeployError('session-refused', `${route.place} let us in and runs no command: ${cause.message}`, {
            hint: `Look at MaxSessions and ForceCommand in sshd_config on the host, and at the shell of ${route.user}.`,
            host: route.name,
            cause,
          }),
      );
    try {
      client.exec(command, (error, channel) => {
        if (error !== undefined) return refuse(error);
        watch(channel);
        if (signal.aborted) killChannel(channel);
        resolve(channel);
      });
    } catch (error) {
      refuse(error as Error);
    }
  });
}

/** Asks for a stream to an address as the host sees it; rejects with session-refused or host-unreachable. */
export function forward(
  client: Client,
  route: Route,
  carrier: Carrier,
  address: string,
  port: number,
  signal: AbortSignal,
): Promise<Duplex> {
  const stream = new Promise<Duplex>((resolve, reject) => {
    const refuse = (cause: Error & { reason?: unknown }) =>
      reject(
        carrier.lost() ??
          new DeployError(
            cause.reason === 1 ? 'session-refused' : 'host-unreachable',
            `${route.place} opens no way to ${address}:${port}: ${cause.message}`,
            {
              hint: 'Check the address as that host sees it, and AllowTcpForwarding in its sshd_config.',
              host: route.name,
              cause,
            },
          ),
      );
    try {
      client.forwardOut('127.0.0.1', 0, address, port, (error, channel) => {
        if (error !== undefined) return refuse(error);
        channel.on('error', () => undefined);
        // Unlike a socket, a channel stays half open where the other end has gone.
        channel.once('end', () => channel.close());
        if (signal.aborted) channel.close();
        resolve(channel);
      });
    } catch (error) {
      refuse(error as Error);
    }
  });
  return unlessAborted(stream, signal);
}
