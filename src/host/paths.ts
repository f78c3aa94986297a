/** Where things live on a host. */
export const PATHS = {
  /** Runner and runtime, by content hash. */
  software: '/opt/slipway',
  /** Desired state, certificates, keys: root only. */
  configuration: '/etc/slipway',
  state: '/var/lib/slipway',
  /** What each app owns on this host. */
  ownership: '/var/lib/slipway/ownership',
  /** Units that still have to be reloaded or restarted. */
  pending: '/var/lib/slipway/pending',
  /** What stood at a path before Slipway's first write there. */
  originals: '/var/lib/slipway/originals',
  /** Snapshots that the guard puts back. */
  guards: '/var/lib/slipway/guards',
  /** Who did what, app by app. */
  ledger: '/var/lib/slipway/ledger',
  /** Event logs of operations. */
  operations: '/var/log/slipway/operations',
  /** Locks and whatever may die at reboot. */
  run: '/run/slipway',
} as const;
