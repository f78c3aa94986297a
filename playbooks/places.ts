// Where the playbooks put things on a host; the slots' flags have a second home on the host's side, and a test
// keeps the two equal.

/** What is declared for a host, certificates and keys: root only. */
export const CONFIGURATION = '/etc/slipway';

export { RUNNER } from '#core/runner';

/** Where the files lie whose coming and going nginx obeys at the next request. */
export function flagsFolder(app: string): string {
  return `/var/lib/slipway/slots/${app}`;
}

/** The folder of the page that nginx shows during maintenance. */
export function maintenanceFolder(app: string): string {
  return `/var/lib/slipway/maintenance/${app}`;
}

/** What an accessory is configured with: its Compose file, its own configuration, its secrets. */
export function accessoryFolder(app: string, accessory: string): string {
  return `${CONFIGURATION}/apps/${app}/${accessory}`;
}

/** The JSON access log of an app. */
export function accessLog(app: string): string {
  return `/var/log/nginx/${app}.json`;
}
