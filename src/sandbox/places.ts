/** What is worth keeping between sandboxes: base trees, downloaded packages, the sandbox authority, pushed images. */
export const CACHE = '/var/cache/slipway/sandbox';

/** What a sandbox is made of while it stands; gone when its last host is. */
export const STATE = '/var/lib/slipway-sandbox';

/** Where a host's record, console log and root tree lie. */
export function hostFolder(name: string): string {
  return `${STATE}/hosts/${name}`;
}

/** The root tree of a host, writable from here while the host runs. */
export function hostTree(name: string): string {
  return `${hostFolder(name)}/root`;
}

/** The private key that every bare host lets in; made once per sandbox. */
export const KEY_FILE = `${STATE}/id_ed25519`;

/** Where downloaded packages of a release are kept. */
export function packageFolder(suite: string): string {
  return `${CACHE}/packages/${suite}`;
}

/** The host keys of every sandbox host, which this machine knows by having made them: a known_hosts file. */
export const KNOWN_HOSTS = `${STATE}/known_hosts`;

/** The authorities that stand for the world's: the sandbox's own and the one its certificates chain to. */
export const AUTHORITIES = `${STATE}/authorities.pem`;
