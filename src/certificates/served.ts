import { connect } from 'node:tls';

const DEADLINE = 3_000;

/**
 * The SHA-256 fingerprint (`AB:CD:…`) of the certificate that the host serves for a domain on port 443; undefined where
 * it serves none.
 */
export function servedFingerprint(domain: string, address = '127.0.0.1', port = 443): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, servername: domain, rejectUnauthorized: false });
    const finish = (fingerprint: string | undefined) => {
      socket.destroy();
      resolve(fingerprint);
    };
    socket.setTimeout(DEADLINE, () => finish(undefined));
    socket.on('error', () => finish(undefined));
    socket.on('secureConnect', () => finish(socket.getPeerX509Certificate()?.fingerprint256));
  });
}
