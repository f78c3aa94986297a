import type { PlaybookContext } from '#playbook/playbook';
import { aptPackage, type Declared } from '#playbook/resources';

/** Packages of the distribution, waited for as long as the inventory says where another program is at them. */
export function packages(
  { environment }: Pick<PlaybookContext, 'environment'>,
  names: readonly string[],
): readonly Declared[] {
  return names.map((name) => aptPackage({ name, patience: environment.packages.wait }));
}
