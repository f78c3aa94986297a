import type { Item } from './items.ts';
import { keyOf, type Owned, type Ownership, writeOwnership } from './ownership.ts';

/** Keeps on disk what the app owns, before a thing is made, so that an interrupted run forgets nothing. */
export class Bookkeeping {
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
