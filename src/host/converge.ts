import { asDeployError, DeployError } from '#core/errors';
import type { Change, ConvergeRequest, Declaration, Step, Trigger } from '#protocol/plan';
import { KINDS } from '#resources/index';
import type { Host, Kind } from '#resources/resource';
import { Guard, type ProofListener, unprovenGuards } from './guard.ts';
import type { Emit } from './journal.ts';
import type { Machine } from './machine.ts';
import { keyOf, type Owned, type Ownership, readOwnership, writeOwnership } from './ownership.ts';
import { fire, mark, pending } from './pending.ts';

// The engine treats every kind alike, so their own types end here.
type AnyKind = Kind<never, unknown, Record<string, unknown>>;

const KIND_BY_NAME: ReadonlyMap<string, AnyKind> = new Map(
  KINDS.map((kind) => [kind.kind, kind as unknown as AnyKind]),
);

interface Item {
  readonly key: string;
  readonly declaration: Declaration;
  readonly kind: AnyKind;
  readonly props: Record<string, unknown>;
}

interface Reading {
  readonly state: unknown;
  readonly changes: readonly Change[];
}

export interface Outcome {
  readonly changed: number;
  readonly unchanged: number;
  readonly removed: number;
}

function kindOf(name: string): AnyKind {
  const kind = KIND_BY_NAME.get(name);
  if (kind !== undefined) return kind;
  throw new DeployError('unknown-kind', `The runner knows no resource of kind ${name}.`, {
    hint: 'Rebuild Slipway, so that the laptop and the runner are of one version.',
  });
}

function itemOf(declaration: Declaration): Item {
  const kind = kindOf(declaration.kind);
  const props = (kind.props as unknown as { parse(value: unknown): Record<string, unknown> }).parse(declaration.props);
  return { key: keyOf(declaration), declaration, kind, props };
}

async function readOne(host: Host, { key, kind, props }: Item): Promise<Reading> {
  try {
    const state = await kind.read(host, props);
    return { state, changes: kind.diff(state, props) };
  } catch (error) {
    throw asDeployError(error).at({ resource: key });
  }
}

/** What a person may see of changes: nothing of the content where the declaration is sensitive. */
function shown({ declaration }: Item, changes: readonly Change[]): Change[] {
  if (!declaration.sensitive) return [...changes];
  return changes.map(({ summary, diff }) =>
    diff === undefined ? { summary } : { summary: `${summary} (content hidden)` },
  );
}

function stepOf(item: Item, { state, changes }: Reading): Step {
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
function leftovers(ownership: Ownership, declared: ReadonlySet<string>): readonly Owned[] {
  return [...ownership.own]
    .filter(([key]) => !declared.has(key) && !ownership.others.has(key))
    .map(([, owned]) => owned)
    .reverse();
}

function removes(owned: Owned): boolean {
  return !owned.preexisting || kindOf(owned.kind).preexisting === 'remove';
}

function removalStep(owned: Owned): Step {
  const summary = removes(owned) ? 'remove' : 'stop managing it (it was there before)';
  return {
    action: 'remove',
    resource: keyOf(owned),
    playbook: owned.playbook,
    changes: [{ summary }],
    triggers: [...owned.triggers],
  };
}

function triggerStep(trigger: Trigger): Step {
  return {
    action: 'trigger',
    resource: trigger.unit,
    playbook: 'interrupted run',
    changes: [{ summary: trigger.action }],
    triggers: [],
  };
}

function guardStep(guard: string): Step {
  return {
    action: 'trigger',
    resource: `guard ${guard}`,
    playbook: 'interrupted run',
    changes: [{ summary: 'prove access by a fresh login, or undo' }],
    triggers: [],
  };
}

/**
 * Makes a host what was declared: reads everything at once, tells the plan, and (unless only the plan was asked for)
 * applies what differs in order, each time reading again afterwards. Resolves with what was done.
 */
export async function converge(
  machine: Machine,
  request: ConvergeRequest,
  emit: Emit,
  listener: ProofListener,
): Promise<Outcome> {
  const items = request.resources.map(itemOf);
  const declared = new Set(items.map(({ key }) => key));
  const [ownership, readings, marks, unproven] = await Promise.all([
    readOwnership(request.app),
    Promise.all(items.map((item) => readOne(machine, item))),
    pending(),
    unprovenGuards(machine),
  ]);
  const surplus = leftovers(ownership, declared);
  const differing = items.filter((_, index) => (readings[index]?.changes.length ?? 0) > 0);
  const steps = [
    ...unproven.map(guardStep),
    ...marks.map(triggerStep),
    ...items.flatMap((item, index) => {
      const reading = readings[index];
      return reading === undefined || reading.changes.length === 0 ? [] : [stepOf(item, reading)];
    }),
    ...surplus.map(removalStep),
  ];
  emit({ type: 'plan', steps, unchanged: items.length - differing.length });

  const book = new Bookkeeping(request.app, ownership, items);
  if (request.verb === 'plan') return { changed: 0, unchanged: items.length - differing.length, removed: 0 };
  await book.adopt(
    items.filter((item, index) => readings[index]?.changes.length === 0 && !ownership.own.has(item.key)),
  );
  if (steps.length === 0) {
    await book.settle();
    return { changed: 0, unchanged: items.length, removed: 0 };
  }

  const run = new Run(machine, emit, book, new Guard(machine, emit, request.loginUser, listener));
  try {
    await run.inheritGuard();
    for (const trigger of marks) await run.fire(trigger);
    await run.pass(items, readings);
    // Something applied late may have changed what was read early (a package brings its own configuration).
    machine.forget();
    const again = await Promise.all(items.map((item) => readOne(machine, item)));
    await run.pass(items, again);
    for (const owned of surplus) await run.remove(owned);
    await run.flush();
    await run.finishGuard();
  } catch (error) {
    await run.giveUp(asDeployError(error).message);
    throw error;
  }
  await book.settle();
  return { changed: run.changed.size, unchanged: items.length - run.changed.size, removed: surplus.length };
}

/** Keeps on disk what the app owns, before a thing is made, so that an interrupted run forgets nothing. */
class Bookkeeping {
  readonly #app: string;
  readonly #owned: Map<string, Owned>;
  readonly #items: readonly Item[];
  #written: string;

  constructor(app: string, ownership: Ownership, items: readonly Item[]) {
    this.#app = app;
    this.#owned = new Map(ownership.own);
    this.#items = items;
    this.#written = JSON.stringify([...ownership.own.values()]);
  }

  #entry({ declaration, kind, props, key }: Item, preexisting: boolean): Owned {
    return {
      kind: declaration.kind,
      id: declaration.id,
      playbook: declaration.playbook,
      footprint: kind.footprint(props),
      triggers: declaration.triggers,
      preexisting: this.#owned.get(key)?.preexisting ?? preexisting,
    };
  }

  async #write(): Promise<void> {
    const owned = [...this.#owned.values()];
    const text = JSON.stringify(owned);
    if (text === this.#written) return;
    await writeOwnership(this.#app, owned);
    this.#written = text;
  }

  /** Takes responsibility for resources that are as declared already. */
  async adopt(items: readonly Item[]): Promise<void> {
    for (const item of items) this.#owned.set(item.key, this.#entry(item, true));
    await this.#write();
  }

  /** Takes responsibility for resources that are about to be made or changed. */
  async own(items: readonly { readonly item: Item; readonly existed: boolean }[]): Promise<void> {
    for (const { item, existed } of items) this.#owned.set(item.key, this.#entry(item, existed));
    await this.#write();
  }

  async disown(owned: Owned): Promise<void> {
    this.#owned.delete(keyOf(owned));
    await this.#write();
  }

  /** Leaves exactly what is declared, in its order: what only others need any more is theirs. */
  async settle(): Promise<void> {
    const entries = this.#items.map((item) => [item.key, this.#entry(item, true)] as const);
    this.#owned.clear();
    for (const [key, entry] of entries) this.#owned.set(key, entry);
    await this.#write();
  }
}

/** One run through the plan, with what it has to remember on the way. */
class Run {
  readonly changed = new Set<string>();
  readonly #machine: Machine;
  readonly #emit: Emit;
  readonly #book: Bookkeeping;
  readonly #guard: Guard;
  #playbook = '';

  constructor(machine: Machine, emit: Emit, book: Bookkeeping, guard: Guard) {
    this.#machine = machine;
    this.#emit = emit;
    this.#book = book;
    this.#guard = guard;
  }

  /** Goes through the resources in order and applies what differs. */
  async pass(items: readonly Item[], readings: readonly Reading[]): Promise<void> {
    const todo = items.filter((_, index) => (readings[index]?.changes.length ?? 0) > 0);
    const lastGuarded = todo.findLast(({ kind }) => kind.guarded === true);
    const done = new Set<Item>();
    for (const item of todo) {
      if (done.has(item)) continue;
      await this.#enter(item.declaration.playbook);
      const batch = item.kind.applyAll === undefined ? [item] : todo.filter(({ kind }) => kind === item.kind);
      for (const member of batch) done.add(member);
      await this.#apply(item.kind, batch);
      if (lastGuarded !== undefined && batch.includes(lastGuarded)) await this.finishGuard();
    }
    await this.flush();
  }

  async #enter(playbook: string): Promise<void> {
    if (this.#playbook !== '' && this.#playbook !== playbook) await this.flush();
    this.#playbook = playbook;
  }

  async #apply(kind: AnyKind, batch: readonly Item[]): Promise<void> {
    const started = performance.now();
    const first = batch[0];
    if (first === undefined) return;
    this.#machine.forget();
    const before = await Promise.all(batch.map((item) => readOne(this.#machine, item)));
    const todo = batch.filter((_, index) => (before[index]?.changes.length ?? 0) > 0);
    if (todo.length === 0) return;
    for (const item of todo) {
      this.#emit({ type: 'resource.started', resource: item.key, playbook: item.declaration.playbook });
    }
    try {
      await this.#book.own(todo.map((item) => ({ item, existed: before[batch.indexOf(item)]?.state !== undefined })));
      if (kind.guarded === true) await this.#guard.arm();
      await mark(todo.flatMap((item) => item.declaration.triggers));
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

  /** Reloads and restarts what is due. */
  async flush(): Promise<void> {
    for (const trigger of await pending()) await this.fire(trigger);
  }

  /** Takes over the guard of a run that was killed. */
  async inheritGuard(): Promise<void> {
    await this.#guard.inherit();
  }

  /** Has the guarded changes proven by a fresh login, and keeps them. */
  async finishGuard(): Promise<void> {
    if (!this.#guard.isArmed) return;
    await this.flush();
    await this.#guard.prove();
  }

  async giveUp(reason: string): Promise<void> {
    if (this.#guard.isArmed) await this.#guard.undo(reason);
  }
}

function notConverged(item: Item, changes: readonly Change[]): DeployError {
  const left = shown(item, changes)
    .map(({ summary, diff }) => (diff === undefined ? summary : `${summary}\n${diff}`))
    .join('; ');
  return new DeployError('not-converged', `${item.key} was applied and still differs: ${left}`, {
    hint: 'Something on the host changes it back, or this is a defect: run `deploy plan` to see what it says now.',
    resource: item.key,
  });
}
