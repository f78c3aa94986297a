import type { Step, Trigger } from '#protocol/plan';
import { type Item, kindOf, type Reading, shown } from './items.ts';
import { keyOf, type Owned, type Ownership } from './ownership.ts';

/** A resource that differs, as a line of the plan. */
export function stepOf(item: Item, { state, changes }: Reading): Step {
  const { declaration, kind, key } = item;
  return {
    action: state === undefined ? (kind.verb ?? 'create') : kind.verb === 'release' ? 'release' : 'update',
    resource: key,
    playbook: declaration.playbook,
    changes: shown(item, changes),
    triggers: declaration.triggers,
  };
}

/** What this app owns and no longer declares, and no other app on the host owns: newest first. */
export function leftovers(ownership: Ownership, declared: ReadonlySet<string>): readonly Owned[] {
  return [...ownership.own]
    .filter(([key]) => !declared.has(key) && !ownership.others.has(key))
    .map(([, owned]) => owned)
    .reverse();
}

/** Whether a leftover is taken off the host, or only no longer managed. */
export function removes(owned: Owned): boolean {
  return !owned.preexisting || kindOf(owned.kind).preexisting === 'remove';
}

/** A leftover, as a line of the plan. */
export function removalStep(owned: Owned): Step {
  const { leaves } = kindOf(owned.kind);
  const removal = leaves === undefined ? 'remove' : `remove; ${leaves}`;
  const summary = removes(owned) ? removal : 'stop managing it (it was there before)';
  return {
    action: 'remove',
    resource: keyOf(owned),
    playbook: owned.playbook,
    changes: [{ summary }],
    triggers: [...owned.triggers],
  };
}

/** What an interrupted run left to be reloaded or restarted, as a line of the plan. */
export function triggerStep(trigger: Trigger): Step {
  return {
    action: 'trigger',
    resource: trigger.unit,
    playbook: 'interrupted run',
    changes: [{ summary: trigger.action }],
    triggers: [],
  };
}

/** A guard that a killed run left burning, as a line of the plan. */
export function guardStep(guard: string): Step {
  return {
    action: 'trigger',
    resource: `guard ${guard}`,
    playbook: 'interrupted run',
    changes: [{ summary: 'prove access by a fresh login, or undo' }],
    triggers: [],
  };
}
