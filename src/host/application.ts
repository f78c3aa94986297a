import { asDeployError, DeployError } from '#core/errors';
import type { Change, Trigger } from '#protocol/plan';
import type { Bookkeeping } from './bookkeeping.ts';
import type { Guard } from './guard.ts';
import { type AnyKind, differs, type Item, kindOf, type Reading, readOne, shown } from './items.ts';
import type { Emit } from './journal.ts';
import type { Machine } from './machine.ts';
import { keyOf, type Owned } from './ownership.ts';
import { fire, mark, pending } from './pending.ts';
import { removes } from './steps.ts';

/** One run through the plan, with what it has to remember on the way. */
export class Application {
  readonly changed = new Set<string>();
  readonly #machine: Machine;
  readonly #emit: Emit;
  readonly #book: Bookkeeping;
  readonly #guard: Guard;
  /** Units that failed and are tried again at the end, or once what they read has changed. */
  readonly #postponed = new Set<string>();
  #playbook = '';

  constructor(machine: Machine, emit: Emit, book: Bookkeeping, guard: Guard) {
    this.#machine = machine;
    this.#emit = emit;
    this.#book = book;
    this.#guard = guard;
  }

  /** Goes through the resources in order and applies what differs. */
  async pass(items: readonly Item[], readings: readonly Reading[]): Promise<void> {
    const todo = items.filter((_, index) => differs(readings[index]));
    const guarded = todo.filter(({ kind }) => kind.guarded === true);
    // Once for each playbook, so that none of what comes between burns the fuse down.
    const last = new Set(new Map(guarded.map((item) => [item.declaration.playbook, item])).values());
    const done = new Set<Item>();
    for (const item of todo) {
      if (done.has(item)) continue;
      await this.#enter(item.declaration.playbook);
      const batch = item.kind.applyAll === undefined ? [item] : todo.filter(({ kind }) => kind === item.kind);
      for (const member of batch) done.add(member);
      await this.#apply(item.kind, batch);
      if (batch.some((member) => last.has(member))) await this.finishGuard();
    }
    await this.#flush(isReload);
  }

  async #enter(playbook: string): Promise<void> {
    if (this.#playbook !== '' && this.#playbook !== playbook) await this.#flush(isReload);
    this.#playbook = playbook;
  }

  async #apply(kind: AnyKind, batch: readonly Item[]): Promise<void> {
    const started = performance.now();
    const first = batch[0];
    if (first === undefined) return;
    this.#machine.forget();
    const before = await Promise.all(batch.map((item) => readOne(this.#machine, item)));
    const todo = batch.filter((_, index) => differs(before[index]));
    if (todo.length === 0) return;
    for (const item of todo) {
      this.#emit({ type: 'resource.started', resource: item.key, playbook: item.declaration.playbook });
    }
    try {
      if (kind.guarded === true) await this.#guard.arm();
      await this.#book.own(todo.map((item) => ({ item, existed: before[batch.indexOf(item)]?.state !== undefined })));
      const triggers = todo.flatMap((item) => item.declaration.triggers);
      await mark(triggers);
      for (const { unit } of triggers) this.#postponed.delete(unit);
      if (kind.applyAll !== undefined)
        await kind.applyAll(
          this.#machine,
          todo.map((item) => item.props),
        );
      else await kind.apply(this.#machine, first.props, before[0]?.state);
    } catch (error) {
      throw asDeployError(error).at({ resource: first.key });
    }
    this.#machine.forget();
    const duration = (performance.now() - started) / 1000 / todo.length;
    for (const item of todo) {
      const after = await readOne(this.#machine, item);
      if (after.changes.length > 0) throw notConverged(item, after.changes);
      this.changed.add(item.key);
      this.#emit({
        type: 'resource.changed',
        resource: item.key,
        playbook: item.declaration.playbook,
        changes: shown(item, before[batch.indexOf(item)]?.changes ?? []),
        duration,
      });
    }
  }

  /** Takes one leftover off the host. */
  async remove(owned: Owned): Promise<void> {
    const key = keyOf(owned);
    this.#emit({ type: 'resource.started', resource: key, playbook: owned.playbook });
    const kind = kindOf(owned.kind);
    try {
      if (removes(owned)) {
        if (kind.guarded === true) await this.#guard.arm();
        await mark(owned.triggers);
        await kind.remove(this.#machine, owned.footprint);
      }
    } catch (error) {
      throw asDeployError(error).at({ resource: key });
    }
    await this.#book.disown(owned);
    this.#emit({ type: 'resource.removed', resource: key, playbook: owned.playbook });
  }

  async fire(trigger: Trigger): Promise<void> {
    await fire(this.#machine, trigger);
    this.#emit({ type: 'trigger.fired', trigger });
  }

  /** Fires what an interrupted run has left: where that fails, the cause may be what this run is about to mend. */
  async catchUp(): Promise<void> {
    await this.#flush(() => true);
  }

  /** Reloads and restarts all that is still due. */
  async flush(): Promise<void> {
    this.#postponed.clear();
    await this.#flush(() => false);
  }

  async #flush(mayFail: (trigger: Trigger) => boolean): Promise<void> {
    let failure: unknown;
    for (const trigger of await pending()) {
      if (this.#postponed.has(trigger.unit)) continue;
      try {
        await this.fire(trigger);
      } catch (error) {
        if (mayFail(trigger)) this.#postponed.add(trigger.unit);
        else failure ??= error;
      }
    }
    // One unit that fails keeps no other from what it is due.
    if (failure !== undefined) throw failure;
  }

  /** Takes over the guard of a run that was killed. */
  async inheritGuard(): Promise<void> {
    await this.#guard.inherit();
  }

  /** Has the guarded changes proven by a fresh login, and keeps them. */
  async finishGuard(): Promise<void> {
    if (!this.#guard.isArmed) return;
    await this.#flush(() => false);
    await this.#guard.prove();
  }

  async giveUp(reason: string): Promise<void> {
    if (this.#guard.isArmed) await this.#guard.undo(reason);
  }
}

// A service that cannot reload still runs, and what it reads may be mended by a later playbook or a removal.
const isReload = ({ action }: Trigger): boolean => action === 'reload';

function notConverged(item: Item, changes: readonly Change[]): DeployError {
  const left = shown(item, changes)
    .map(({ summary, diff }) => (diff === undefined ? summary : `${summary}\n${diff}`))
    .join('; ');
  return new DeployError('not-converged', `${item.key} was applied and still differs: ${left}`, {
    hint: 'Something on the host changes it back, or this is a defect: run `deploy plan` to see what it says now.',
    resource: item.key,
  });
}
