import type { PlaybookContext } from '#playbook/playbook';
import { command, type Declared, systemdUnit } from '#playbook/resources';

const MAKE = 'umask 077 && fallocate --length "$2" "$1.new" && mkswap "$1.new" && mv "$1.new" "$1"';
const REMOVE = 'swapoff "$1"; rm -f "$1"';

/** A swap file and the unit that switches it on; nothing in a container, whose swap is its host's. */
export function swap({ environment, facts }: PlaybookContext): readonly Declared[] {
  const bytes = environment.harden.swap;
  if (bytes === undefined || facts.container) return [];
  const path = `/var/lib/swap-${Math.round(bytes / 1024 ** 2)}m`;
  const unit = `[Unit]
Description=Swap file of Slipway

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/sbin/swapon ${path}
ExecStop=/sbin/swapoff ${path}

[Install]
WantedBy=multi-user.target
`;
  return [
    command({
      name: `swap file ${path}`,
      why: `make a swap file of ${Math.round(bytes / 1024 ** 2)} MB`,
      creates: path,
      command: ['sh', '-c', MAKE, 'swap', path, String(bytes)],
      undo: ['sh', '-c', REMOVE, 'swap', path],
      timeout: 300,
    }),
    systemdUnit({ name: 'slipway-swap.service', content: unit, enabled: true, active: 'started' }),
  ];
}
