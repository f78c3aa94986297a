/** The runner of the last operation on a host, which cron, timers and units start. */
export const RUNNER = '/opt/slipway/current/slipway-host';
