import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** The runner's processes inside one sandbox host, as this machine sees them. */
export function runnersOf(name: string): readonly number[] {
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .filter((pid) => {
      try {
        return (
          readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('slipway-host.mjs\0session') &&
          readlinkSync(`/proc/${pid}/exe`).includes('/opt/slipway/') &&
          readFileSync(`/proc/${pid}/root/etc/hostname`, 'utf8').trim() === name
        );
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** Ends the runner of a sandbox host as a power cut would. */
export function killRunners(name: string): void {
  for (const pid of runnersOf(name)) process.kill(pid, 'SIGKILL');
}
