import { DeployError } from '#core/errors';
import type { Route } from '#ssh/route';

/** How far a login has come. */
export interface Progress {
  /** Keys are exchanged and the host's is accepted. */
  shaken: boolean;
  /** We are let in. */
  ready: boolean;
}

/** The error of a connection that broke, by how far it had come. */
export function broken(route: Route, progress: Progress, cause: unknown): DeployError {
  const said = cause instanceof Error ? `: ${cause.message}` : '';
  if (progress.shaken) {
    const when = progress.ready ? 'broke' : 'was closed by the host while we logged in';
    return new DeployError('connection-lost', `the connection to ${route.place} ${when}${said}`, {
      hint: 'Run the same command again; an operation that had started on the host goes on there: `deploy attach <environment>`.',
      host: route.name,
      cause,
    });
  }
  const code = (cause as { code?: unknown } | undefined)?.code;
  if (cause === undefined || typeof code === 'string' || /before handshake/.test(said)) {
    return new DeployError(
      'host-unreachable',
      `${route.place} takes the connection and closes it before the SSH handshake is done${said}`,
      {
        hint: 'It may be starting up, have too many logins at once, or ban this address (fail2ban): wait a minute and try again.',
        host: route.name,
        cause,
      },
    );
  }
  return new DeployError('handshake-failed', `no SSH handshake with ${route.place}${said}`, {
    hint: 'Check that an SSH server listens on that port; it must allow curve25519-sha256 and an AES-GCM or ChaCha20 cipher.',
    host: route.name,
    cause,
  });
}

/** The error of whatever still ran when we left. */
export function closed(route: Route): DeployError {
  return new DeployError('connection-lost', `the connection to ${route.place} is closed`, {
    hint: 'Run the same command again.',
    host: route.name,
  });
}

/** The error of something that did not end within its seconds. */
export function late(route: Route, what: string, seconds: number): DeployError {
  return new DeployError('deadline-exceeded', `${what} on ${route.name} did not end within ${seconds} s`, {
    hint: 'See what keeps the host busy (top, iotop), then run the same command again.',
    host: route.name,
  });
}

/** The error of something that was given up on a person's or caller's word. */
export function interrupted(): DeployError {
  return new DeployError('interrupted', 'interrupted', { hint: 'Run the same command again.' });
}
