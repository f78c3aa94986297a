import { isDeepStrictEqual } from 'node:util';
import { DeployError } from '#core/errors';
import type { Declaration } from '#protocol/plan';
import type { Declared } from '#resources/resource';

/** Kinds that bring what later ones need from anywhere: first the repositories, then all packages as one transaction. */
const FIRST = ['apt-repository', 'apt-package'];

/**
 * The declarations of all playbooks as one list in the order they are applied: what packages need at their start,
 * repositories, packages, then each playbook's resources as it lists them. A resource declared twice alike stands once; declared differently is an error.
 */
export function assemble(
  parts: readonly { readonly playbook: string; readonly resources: readonly Declared[] }[],
): readonly Declaration[] {
  const all = new Map<string, Declaration>();
  const early = new Set<Declaration>();
  for (const { playbook, resources } of parts) {
    for (const { beforePackages, ...resource } of resources) {
      const key = `${resource.kind}:${resource.id}`;
      const other = all.get(key);
      if (other === undefined) {
        const declaration = { ...resource, playbook };
        all.set(key, declaration);
        if (beforePackages === true) early.add(declaration);
      } else if (!isDeepStrictEqual(other.props, resource.props)) {
        throw new DeployError(
          'duplicate-resource',
          `${key} is declared by the playbooks ${other.playbook} and ${playbook} with different properties.`,
          { hint: 'Declare it in one of them.', resource: key },
        );
      }
    }
  }
  const rank = (declaration: Declaration) => {
    if (early.has(declaration)) return -1;
    const first = FIRST.indexOf(declaration.kind);
    return first < 0 ? FIRST.length : first;
  };
  return [...all.values()].sort((a, b) => rank(a) - rank(b));
}
