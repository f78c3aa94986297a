import type { Control, ControlContext } from '#playbook/control';
import type { PlaybookContext } from '#playbook/playbook';
import type { Declared } from '#playbook/resources';
import { template } from '#playbook/template';

/** Kernel modules that a server does without, by why. */
const GROUPS: readonly { readonly why: string; readonly what: string; readonly modules: readonly string[] }[] = [
  {
    why: 'Any user could have the kernel load a protocol that nobody looks after; each had holes that made users root.',
    what: 'protocol',
    modules: ['dccp', 'rds', 'sctp', 'tipc'],
  },
  {
    why: 'The code that reads them trusts what is on the disk; an image that is mounted could take over the kernel.',
    what: 'file system',
    modules: ['cramfs', 'freevxfs', 'hfs', 'hfsplus', 'jffs2', 'udf'],
  },
  {
    why: 'A device plugged in could read memory or bring data in or out.',
    what: 'driver',
    modules: ['firewire-core', 'firewire-ohci', 'firewire-sbp2', 'usb-storage'],
  },
];

// The kernel takes a dash and an underscore for the same (modprobe.d(5)).
const plain = (module: string) => module.replaceAll('_', '-');

type Told = Pick<PlaybookContext, 'environment' | 'facts'>;

function isAllowed({ environment: { harden }, facts }: Told, module: string): boolean {
  // A machine that boots from a USB disk would not boot again.
  if (module === 'usb-storage' && facts.usbDisk === true) return true;
  return harden.allowModules.map(plain).includes(module);
}

/** Modules that cannot be loaded from now on; one that is in use stays until the next boot. */
export function modules(context: PlaybookContext): readonly Declared[] {
  const blocked = GROUPS.flatMap((group) => group.modules).filter((one) => !isAllowed(context, one));
  return [
    template(context, { path: '/etc/modprobe.d/slipway.conf', from: 'modprobe/slipway.conf.hbs', data: { blocked } }),
  ];
}

/** One control for each module, read from what modprobe would do. */
export const moduleControls: readonly Control[] = GROUPS.flatMap(({ why, what, modules: names }) =>
  names.map(
    (module): Control => ({
      id: `module-${module}`,
      title: `the ${what} ${module} is not loaded`,
      severity: 'low',
      why,
      relax: `\`harden.allowModules\`: \`${module}\``,
      probe: 'module',
      check: (context: ControlContext) =>
        isAllowed(context, module) ? undefined : { key: module, expect: { is: 'blocked' } },
    }),
  ),
);
