import type { Control, ControlContext } from '#playbook/control';
import type { PlaybookContext, Warning } from '#playbook/playbook';
import { command, type Declared, systemdUnit } from '#playbook/resources';

const MAKE = 'umask 077 && fallocate --length "$2" "$1.new" && mkswap "$1.new" && mv "$1.new" "$1"';
const REMOVE = 'swapoff "$1"; rm -f "$1"';
const UNIT = 'slipway-swap.service';

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
    systemdUnit({ name: UNIT, content: unit, enabled: true, active: 'started' }),
  ];
}

/** What is asked for and cannot be had on this host. */
export function swapWarnings({
  environment,
  facts,
}: Pick<PlaybookContext, 'environment' | 'facts'>): readonly Warning[] {
  if (environment.harden.swap === undefined || !facts.container) return [];
  return [
    {
      message: "The swap file is left out: this host is a container, and swap is the machine's.",
      hint: 'Take `harden.swap` out for it, or give the machine below more swap.',
    },
  ];
}

/** What `deploy audit` asks about swap. */
export const swapControls: readonly Control[] = [
  {
    id: 'swap',
    title: 'swap is on as declared',
    severity: 'low',
    why: 'Without it the kernel ends a program, often the database, where memory runs short for a moment.',
    relax: '`harden.swap`, none by default',
    probe: 'service',
    check: ({ environment, facts }: ControlContext) =>
      environment.harden.swap === undefined || facts.container
        ? undefined
        : { key: UNIT, expect: { includes: ['active', 'enabled'] } },
  },
];
