import type {
  Alarm,
  BackupJob,
  BackupSettings,
  Copy,
  DrillCheck,
  RepositoryName,
  Source,
  Standing,
} from '#protocol/backup';
import type { Host } from '#resources/resource';
import type { Store } from './store/store.ts';

/** What everything about an app's backups is done with. */
export interface Backups {
  readonly host: Host;
  readonly settings: BackupSettings;
  /** The one that is written first at the front. */
  readonly stores: readonly Store[];
}

/** What a job came to in one repository; each becomes a record. */
export interface Done {
  /** Of which source, where a job is for all of them. */
  readonly source?: string;
  readonly repository?: RepositoryName;
  /** Bytes. */
  readonly bytes?: number;
  readonly added?: number;
  readonly made?: string;
  readonly details?: Readonly<Record<string, unknown>>;
  /** Where this part of it failed: why, for a person. The others went on. */
  readonly why?: string;
}

/** The job that makes a copy of a source. */
export type CopyJob = Extract<BackupJob, 'full' | 'incremental' | 'dump' | 'copy'>;

/** What is to be restored, and where to. */
export interface Wish {
  readonly store: Store;
  /** `latest`, ISO 8601, or the name of a restore point. */
  readonly to: string;
  /** An empty folder. */
  readonly folder: string;
  /** For every container that is started on the way: what clears the folder away finds it by them. */
  readonly labels: readonly string[];
  /** Told when a phase begins; its name is a few words. */
  readonly phase: (name: string) => void;
  /** Where it will be served: an engine that has to start a server anyway may leave it running there. */
  readonly berth?: Berth;
}

/** What would be restored. */
export interface Prospect {
  /** ISO 8601: the moment that would be reached. */
  readonly reaches: string;
  /** ISO 8601: the newest moment there is. */
  readonly newest: string;
  /** The snapshot that it begins with. */
  readonly base: string;
  /** Bytes that it takes on disk, replayed log included. */
  readonly bytes: number;
}

/** Data that was restored into a folder, and is not in use yet. */
export interface Restored extends Prospect {
  /** The folder that a container of the source's image takes as its data. */
  readonly data: string;
  readonly checks: readonly DrillCheck[];
  /** Bytes of write-ahead log replayed. */
  readonly walBytes?: number;
  /** What the engine wants to know of it when it is proven. */
  readonly kept?: unknown;
  /** Whether it is served at the berth that was wished for already. */
  readonly isServed?: boolean;
}

/** Where restored data is to be served. */
export interface Berth {
  /** The name of the container. */
  readonly name: string;
  /** Arguments of `docker run`: the labels that it is found by when it is left over, and how much of the host it may take. */
  readonly options: readonly string[];
}

/** Restored data that a container serves, cut off from every network. */
export interface Revived extends AsyncDisposable {
  /** The name of its container. */
  readonly container: string;
  /** What was found while it came to life. */
  readonly checks: readonly DrillCheck[];
}

/** What can be done with one type of source. A new type costs its file and a line in `engines.ts`. */
export interface Engine<S extends Source> {
  /** Makes ready what copies it all the time. Done again, it changes nothing. */
  install?(backups: Backups, source: S): Promise<void>;
  /** Takes that away again; copies stay. */
  uninstall?(backups: Backups, source: S): Promise<void>;
  /** Each minute: ships what is new, mends what is stuck. */
  watch?(backups: Backups, source: S): Promise<readonly Done[]>;
  /** What is short with it, by what the host itself knows: no repository is asked. A lagging watch is not told here. */
  alarms?(backups: Backups, source: S): Promise<readonly Alarm[]>;
  /** Makes a copy in every repository. */
  copy(backups: Backups, source: S, job: CopyJob): Promise<readonly Done[]>;
  /** The copies in a repository, oldest first. */
  copies(backups: Backups, source: S, store: Store): Promise<readonly Copy[]>;
  /** How far back, and up to when, it can be restored from a repository. */
  stands(backups: Backups, source: S, store: Store): Promise<Standing>;
  /** Forgets what is older than is kept. Never what a kept moment needs, never the last ones. */
  forget(backups: Backups, source: S, store: Store): Promise<readonly Done[]>;
  /** Looks whether what is stored is as it was written, without restoring it; names every object that is not. */
  verify(backups: Backups, source: S, store: Store): Promise<readonly Done[]>;
  /** What a restoration would come to; `restore-refused` where it cannot be done. */
  foresee(backups: Backups, source: S, wish: Pick<Wish, 'store' | 'to'>): Promise<Prospect>;
  /** Restores into an empty folder; every fault in the copies is named. */
  restore(backups: Backups, source: S, wish: Wish): Promise<Restored>;
  /**
   * Starts a container of the source's image on restored data, with no network, and resolves once the data can be used:
   * write-ahead log is replayed to its target. Rejects with `copy-broken` where that does not succeed.
   */
  revive(backups: Backups, source: S, restored: Restored, berth: Berth): Promise<Revived>;
  /** Before its data is put aside: what copies it all the time ends, so that it does not go on with other data. */
  suspend?(backups: Backups, source: S): Promise<void>;
  /** Once restored data is used in place of what was there: what copies it all the time begins anew. */
  replaced?(backups: Backups, source: S): Promise<void>;
  /** Looks through revived data. */
  prove(backups: Backups, source: S, revived: Revived, restored: Restored): Promise<readonly DrillCheck[]>;
}
