import type { Backups, Done, Engine, Prospect, Wish } from '#backup/engine';
import { expendable } from '#backup/retention';
import { checkSnapshots, forgetSnapshots } from '#backup/snapshots';
import type { Store } from '#backup/store/store';
import type { Copy, DrillCheck, Source } from '#protocol/backup';
import { nearest, readCopies, type Stored } from './catalogue.ts';
import { type Note, noteSchema, openNote } from './note.ts';
import { type Held, takeCopy } from './take.ts';

/** A copy that was found to restore, and what is known of it. */
export interface Found {
  readonly snapshot: string;
  readonly note: Note;
}

/** What sets one type of source apart among those that are copied whole. */
export interface Recipe<S extends Source> extends Pick<Engine<S>, 'install' | 'uninstall' | 'watch' | 'revive'> {
  /** Makes the data stand still, for restic to read. */
  hold(backups: Backups, source: S): Promise<Held>;
  /** Brings a copy into the wish's folder; resolves with the data in it. */
  bring(
    backups: Backups,
    source: S,
    found: Found,
    wish: Wish,
  ): Promise<{ readonly data: string; readonly checks: readonly DrillCheck[] }>;
  /** Looks through revived data and compares it with what was counted in the copy. */
  prove(backups: Backups, source: S, container: string, data: string, note: Note): Promise<readonly DrillCheck[]>;
  /** Bytes on disk of what is restored from a copy. */
  sizeOf(bytes: number): number;
  /** What differs between a copy and its source though it should not; names it. */
  compare?(backups: Backups, source: S, store: Store, newest: Stored & { readonly note: string }): Promise<Done>;
}

function complete(copies: readonly Stored[]): readonly Stored[] {
  return copies.filter((copy) => copy.complete);
}

/** The engine of a type of source that is copied whole, at certain times: each copy can be restored by itself. */
export function copiedWhole<S extends Exclude<Source, { type: 'postgres' }>>(recipe: Recipe<S>): Engine<S> {
  const { hold, bring, prove, sizeOf, compare, ...own } = recipe;

  function prospect(copies: readonly Stored[], { at, snapshot, bytes }: Stored): Prospect {
    const newest = complete(copies).at(-1)?.at ?? at;
    return { reaches: at, newest, base: snapshot, bytes: sizeOf(bytes) };
  }

  async function choose(source: S, { store, to }: Pick<Wish, 'store' | 'to'>) {
    const copies = await readCopies(source.name, store);
    const copy = nearest(source.name, copies, to);
    return { copy, prospect: prospect(copies, copy) };
  }

  return {
    ...own,
    copy: (backups, source) => takeCopy(backups, source, () => hold(backups, source)),
    async copies(_backups, { name, type }, store) {
      const found = await readCopies(name, store);
      return found.map(
        ({ snapshot, at, bytes, complete: isComplete }): Copy => ({
          ...{ source: name, type, kind: 'copy', repository: store.name },
          ...{ id: snapshot, at, bytes, complete: isComplete },
        }),
      );
    },
    async stands(_backups, { name, type }, store) {
      const all = complete(await readCopies(name, store));
      const [oldest] = all;
      const newest = all.at(-1);
      return {
        ...{ source: name, type, repository: store.name, copies: all.length },
        bytes: newest?.bytes ?? 0,
        ...(oldest === undefined || newest === undefined ? {} : { oldest: oldest.at, newest: newest.at }),
      };
    },
    async forget({ settings }, { name }, store) {
      const going = expendable(await readCopies(name, store), settings);
      if (going.length === 0) return [];
      const snapshots = going.map(({ snapshot }) => snapshot);
      const objects = going.flatMap(({ note }) => note ?? []);
      const refused = (await forgetSnapshots(settings.app, store, snapshots)) ?? (await store.remove(objects));
      if (refused !== undefined) return [{ repository: store.name, details: { kept: going.length, refused } }];
      return [{ repository: store.name, details: { forgotten: going.map(({ id }) => id) } }];
    },
    async verify(backups, source, store) {
      const repository = store.name;
      const broken = await checkSnapshots(backups.settings.app, store, Date.now());
      if (broken !== undefined) return [{ repository, why: broken }];
      const copies = await readCopies(source.name, store);
      if (complete(copies).length === 0) return [{ repository, why: `There is no complete copy of ${source.name}.` }];
      const newest = nearest(source.name, copies, 'latest');
      await openNote(backups, source.name, store, newest.note);
      return [(await compare?.(backups, source, store, newest)) ?? { repository, made: newest.snapshot }];
    },
    async foresee(_backups, source, wish) {
      return (await choose(source, wish)).prospect;
    },
    async restore(backups, source, wish) {
      wish.phase('finding the copy');
      const { copy, prospect: foreseen } = await choose(source, wish);
      const note = await openNote(backups, source.name, wish.store, copy.note);
      wish.phase('bringing the copy');
      const brought = await bring(backups, source, { snapshot: copy.snapshot, note }, wish);
      return { ...foreseen, ...brought, kept: note };
    },
    prove(backups, source, revived, restored) {
      return prove(backups, source, revived.container, restored.data, noteSchema.parse(restored.kept));
    },
  };
}

/** One thing that is looked at, with the time it takes; `look` resolves with what it found, or with a fault as `why`. */
export async function checked(
  name: string,
  look: () => Promise<{ readonly found: string; readonly isWell: boolean }>,
): Promise<DrillCheck> {
  const began = performance.now();
  const { found, isWell } = await look();
  return { name, result: isWell ? 'passed' : 'failed', found, duration: (performance.now() - began) / 1000 };
}
