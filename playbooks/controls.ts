import { nearest } from '#inventory/problems';
import type { Control } from '#playbook/control';
import { dockerControls } from './docker.ts';
import { accountControls } from './harden/accounts.ts';
import { banControls } from './harden/bans.ts';
import { firewallControls } from './harden/firewall.ts';
import { kernelControls } from './harden/kernel.ts';
import { sshControls } from './harden/ssh.ts';
import { systemControls } from './harden/system.ts';
import { updateControls } from './harden/updates.ts';

/** What `deploy audit` looks at, by what it protects, in the order of the documentation. */
export const AREAS: readonly { readonly title: string; readonly controls: readonly Control[] }[] = [
  { title: 'Accounts', controls: accountControls },
  { title: 'SSH', controls: sshControls },
  { title: 'Firewall', controls: firewallControls },
  { title: 'Bans', controls: banControls },
  { title: 'Updates', controls: updateControls },
  { title: 'Kernel', controls: kernelControls },
  { title: 'System', controls: systemControls },
  { title: 'Docker', controls: dockerControls },
];

/** Everything that `deploy audit` looks at. */
export const CONTROLS: readonly Control[] = AREAS.flatMap(({ controls }) => controls);

const IDS = CONTROLS.map(({ id }) => id);

/** What an inventory accepts that no control is called by, each with the name that was meant where one is near. */
export function unknownControls(accept: Readonly<Record<string, string>>): readonly string[] {
  return Object.keys(accept)
    .filter((id) => !IDS.includes(id))
    .map((id) => {
      const meant = nearest(id, IDS);
      return meant === undefined ? id : `${id} (did you mean ${meant}?)`;
    });
}
