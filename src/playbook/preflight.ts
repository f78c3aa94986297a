import { DeployError } from '#core/errors';
import { formatBytes, formatSeconds } from '#core/units';
import type { Environment } from '#inventory/environment';
import type { Facts } from '#protocol/facts';

/** Systems whose packages and files the playbooks know. */
const SUPPORTED: Readonly<Record<string, readonly string[]>> = { debian: ['12', '13'], ubuntu: ['22.04', '24.04'] };

/** Bytes below which a bring-up would fill the disk: packages and images of a small app take about 1.5 GB. */
const LEAST_DISK = 1024 ** 3;

/** Seconds that a host's clock may be off: beyond it certificates and logs are wrong. */
const MOST_SKEW = 300;

const WEB_PORTS = [80, 443];

/** The container proxy is the engine's own; nginx is ours. */
const OURS = ['nginx', 'docker-proxy'];

/** That a host's clock is far from the laptop's, which is at `now` in milliseconds; undefined where it is not. */
export function clockProblem(host: string, facts: Facts, now: number): DeployError | undefined {
  const skew = (facts.clock - now) / 1000;
  if (Math.abs(skew) <= MOST_SKEW) return undefined;
  const difference = `${formatSeconds(Math.abs(skew))} ${skew > 0 ? 'ahead' : 'behind'}`;
  return new DeployError('clock-off', `The host's clock is ${difference} of this machine's.`, {
    hint: 'Set the clock that is wrong (on the host: `timedatectl set-ntp true`); certificates depend on it.',
    host,
  });
}

/**
 * What makes a host unfit before anything is changed on it; rejects with the first such thing. `now` is the laptop's
 * clock in milliseconds.
 */
export function preflight(environment: Environment, host: string, facts: Facts, now: number): void {
  const { os } = facts;
  if (SUPPORTED[os.id]?.includes(os.version) !== true) {
    throw new DeployError('unsupported-host', `${os.name} is not supported.`, {
      hint: 'Use Debian 12 or 13, or Ubuntu 22.04 or 24.04.',
      host,
    });
  }
  const clock = clockProblem(host, facts, now);
  if (clock !== undefined) throw clock;
  if (facts.diskFreeBytes < LEAST_DISK) {
    throw new DeployError('disk-full', `Only ${formatBytes(facts.diskFreeBytes)} are free below /var on the host.`, {
      hint: `Free at least ${formatBytes(LEAST_DISK)}: look with \`du -xh --max-depth=2 /var | sort -h | tail\`.`,
      host,
    });
  }
  if (environment.routes.length > 0) {
    const taken = facts.listening.find(({ port, program }) => WEB_PORTS.includes(port) && !OURS.includes(program));
    if (taken !== undefined) {
      throw new DeployError('port-taken', `Port ${taken.port} is taken by ${taken.program} on the host.`, {
        hint: `Stop it first: \`ss -ltnp\` on the host shows it, \`systemctl disable --now ${taken.program}\` ends a service of that name; nginx needs ports 80 and 443.`,
        host,
      });
    }
  }
}
