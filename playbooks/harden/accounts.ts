import type { Environment } from '#inventory/environment';
import type { Control } from '#playbook/control';
import { authorizedKeys, type Declared, sudoers, user } from '#playbook/resources';

/** Who logs in from now on, and may do everything. The guard proves it before anything is closed to others. */
export function people({ ssh }: Environment): readonly Declared[] {
  return [
    user({ name: ssh.user }),
    authorizedKeys({ user: ssh.user, keys: [...ssh.authorizedKeys] }),
    sudoers({ name: `slipway-${ssh.user}`, content: `${ssh.user} ALL=(ALL:ALL) NOPASSWD: ALL` }),
  ];
}

/** What `deploy audit` asks about accounts. */
export const accountControls: readonly Control[] = [];
