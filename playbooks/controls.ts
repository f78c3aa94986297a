import type { Control } from '#playbook/control';
import { accountControls } from './harden/accounts.ts';
import { banControls } from './harden/bans.ts';
import { firewallControls } from './harden/firewall.ts';
import { kernelControls } from './harden/kernel.ts';
import { sshControls } from './harden/ssh.ts';
import { systemControls } from './harden/system.ts';
import { updateControls } from './harden/updates.ts';

/** Everything that `deploy audit` looks at, in the order of the documentation. */
export const CONTROLS: readonly Control[] = [
  ...accountControls,
  ...sshControls,
  ...firewallControls,
  ...banControls,
  ...updateControls,
  ...kernelControls,
  ...systemControls,
];
