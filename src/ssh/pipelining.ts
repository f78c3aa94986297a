import type { Client } from 'ssh2';

/**
 * What ssh2 does in turns and SSH allows at once. Each turn costs a round trip; RFC 4252 (5.1, 7) and RFC 4253 (10) let
 * a client send its service request, a signed public key and the first channel's messages without waiting for replies.
 * This reaches into ssh2, so everything it touches is looked at first, and left as it is where it looks different.
 */
export interface Pipeline {
  /** Whether the next public key is signed for at once, instead of asking first whether the host would take it. */
  signAtOnce(): void;
  /** Asks for a session and its command before the login is answered, where the host is one that bears it. */
  ahead<T>(command: string, ask: () => Promise<T>): Promise<T> | undefined;
  /** Forgets what was asked for ahead: the login was refused, and the host has thrown it away. */
  takeBack(): void;
}

export interface Watch {
  /** Whether a signature needs to know what the host's extensions say (RSA's hash, RFC 8308). */
  waitForExtensions(): boolean;
  /** What the host would accept instead; ssh2 keeps it to itself after an agent's key. */
  refused(accepted: readonly string[], partly: boolean): void;
}

interface Handlers {
  SERVICE_ACCEPT(protocol: Protocol, name: string): void;
  USERAUTH_PK_OK(protocol: Protocol): void;
  EXT_INFO(protocol: Protocol, extensions: unknown): void;
  USERAUTH_FAILURE(protocol: Protocol, accepted: string[], partly: boolean): void;
  GLOBAL_REQUEST(protocol: Protocol, name: string, wantReply: boolean, data: unknown): void;
}
interface Protocol {
  readonly _handlers: Handlers;
  authPK(user: string, key: unknown, algorithm: unknown, sign?: unknown): void;
  exec(channel: number, command: string, wantReply: boolean): void;
}

function isOpenSsh(client: Client): boolean {
  const version = (client as unknown as { _remoteVer?: unknown })._remoteVer;
  return typeof version === 'string' && version.startsWith('OpenSSH_');
}

function protocolOf(client: Client): Protocol | undefined {
  const protocol = (client as unknown as { _protocol?: Partial<Protocol> })._protocol;
  const handlers: Partial<Handlers> | undefined = protocol?._handlers;
  const expected = [
    protocol?.authPK,
    protocol?.exec,
    handlers?.SERVICE_ACCEPT,
    handlers?.USERAUTH_PK_OK,
    handlers?.EXT_INFO,
    handlers?.USERAUTH_FAILURE,
    handlers?.GLOBAL_REQUEST,
  ];
  return expected.every((method) => typeof method === 'function') ? (protocol as Protocol) : undefined;
}

/** Takes the turns out of a client that is about to shake hands; undefined where this ssh2 is not the one known here. */
export function pipeline(client: Client, watch: Watch): Pipeline | undefined {
  const protocol = protocolOf(client);
  if (protocol === undefined) return undefined;
  const handlers = protocol._handlers;
  withoutHostKeyRotation(handlers);
  authenticateAtOnce(client, protocol, watch);
  const refuse = handlers.USERAUTH_FAILURE;
  handlers.USERAUTH_FAILURE = (from, accepted, partly) => {
    watch.refused(accepted, partly);
    refuse(from, accepted, partly);
  };
  let signing = false;
  let takeBack: () => void = () => undefined;
  const askOrSign = protocol.authPK.bind(protocol);
  protocol.authPK = (user, key, algorithm, sign) => {
    if (sign !== undefined || !signing) return askOrSign(user, key, algorithm, sign);
    signing = false;
    handlers.USERAUTH_PK_OK(protocol);
  };
  return {
    signAtOnce: () => {
      signing = true;
    },
    ahead: (command, ask) => {
      // Others end a connection on which something comes before the login is answered (dropbear).
      if (!isOpenSsh(client)) return undefined;
      const asked = ask();
      takeBack = execAhead(protocol, command);
      return asked;
    },
    takeBack: () => takeBack(),
  };
}

// ssh2 has the host prove all its other keys at every connection, for an event that nobody here listens to.
function withoutHostKeyRotation(handlers: Handlers): void {
  const answer = handlers.GLOBAL_REQUEST;
  handlers.GLOBAL_REQUEST = (protocol, name, wantReply, data) => {
    if (name !== 'hostkeys-00@openssh.com') answer(protocol, name, wantReply, data);
  };
}

function authenticateAtOnce(client: Client, protocol: Protocol, watch: Watch): void {
  const handlers = protocol._handlers;
  const accepted = handlers.SERVICE_ACCEPT;
  const extensions = handlers.EXT_INFO;
  let extended = false;
  handlers.EXT_INFO = (from, list) => {
    extended = true;
    extensions(from, list);
  };
  client.once('handshake', () => {
    // After this turn of the loop the service request is sent, and what came with the host's last packet is read.
    queueMicrotask(() => {
      if (watch.waitForExtensions() && !extended) return;
      handlers.SERVICE_ACCEPT = () => undefined;
      accepted(protocol, 'ssh-userauth');
    });
  });
}

// OpenSSH numbers its channels from 0. A host that does not is asked again, with its own number.
const FIRST_CHANNEL = 0;

function execAhead(protocol: Protocol, command: string): () => void {
  const exec = protocol.exec;
  exec.call(protocol, FIRST_CHANNEL, command, true);
  protocol.exec = (channel, asked, wantReply) => {
    protocol.exec = exec;
    if (channel !== FIRST_CHANNEL || asked !== command) exec.call(protocol, channel, asked, wantReply);
  };
  return () => {
    protocol.exec = exec;
  };
}
