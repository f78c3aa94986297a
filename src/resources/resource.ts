import type * as z from 'zod';
import type { DeployError } from '#core/errors';
import type { Output, RunOptions } from '#core/run';
import type { EventBody } from '#protocol/event';
import type { Facts } from '#protocol/facts';
import type { Change, Declaration, Trigger } from '#protocol/plan';
import type { Manner } from '#release/manner';

export type { Change, Trigger } from '#protocol/plan';

export interface FileState {
  readonly type: 'file' | 'directory' | 'link' | 'other';
  /** Permission bits as four octal digits: `0644`. */
  readonly mode: string;
  readonly owner: string;
  readonly group: string;
  /** Numbers of owner and group; images number users otherwise than the host names them. */
  readonly uid?: number;
  readonly gid?: number;
  /** Bytes. */
  readonly size: number;
  /** Where a link points. */
  readonly target?: string;
}

export interface FileAttributes {
  /** Four octal digits. */
  readonly mode: string;
  readonly owner: string;
  readonly group: string;
}

/** How the Docker Engine API is asked; `timeout` is seconds. */
export interface DockerRequest {
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeout?: number;
}

/** What a resource may ask of the machine it runs on. Every kind reaches the machine through this and nothing else. */
export interface Host {
  readonly facts: Facts;
  /** Who asked for what is being done, as `user@machine`. */
  readonly by: string;
  /** How a release is brought live in this operation. */
  readonly manner: Manner;
  /** Runs a program and resolves whatever its exit code. */
  run(argv: readonly string[], options?: RunOptions): Promise<Output>;
  /** Runs a program; a non-zero exit rejects with `command-failed`, its last lines and the given hint. */
  must(argv: readonly string[], options?: RunOptions & { readonly hint?: string }): Promise<Output>;
  /** The text of a file; undefined where there is none. */
  readFile(path: string): Promise<string | undefined>;
  stat(path: string): Promise<FileState | undefined>;
  /** The names in a directory, sorted; empty where there is none. */
  list(path: string): Promise<readonly string[]>;
  /**
   * Replaces a file as one rename, synced to disk, its parent directories made where missing. What stood there before
   * Slipway's first write is kept aside and comes back with `removeFile`.
   */
  writeFile(path: string, content: string, attributes: FileAttributes): Promise<void>;
  /** Removes a file that `writeFile` wrote; what stood there before comes back. */
  removeFile(path: string): Promise<void>;
  /** An answer shared by all resources of one reading pass; forgotten as soon as anything is applied. */
  once<T>(question: string, ask: () => Promise<T>): Promise<T>;
  /** Tells whoever is waiting what is going on. */
  say(message: string): void;
  warn(message: string, hint?: string): void;
  /** Tells what happens to a release, for machines as for people. */
  tell(event: EventBody): void;
  /** One request to the Docker Engine API over its socket; undefined where no engine answers or the object is absent. */
  docker<T>(path: string, options?: DockerRequest): Promise<T | undefined>;
  /** `docker compose` on one project; rejects with `command-failed` and its last lines. */
  compose(project: ComposeProject, action: ComposeAction): Promise<void>;
  /** Gives the place where an app's databases stand a name, by which a release can be undone with its data. */
  markData(
    app: string,
    release: { readonly release: string; readonly tag: string; readonly before?: string },
  ): Promise<void>;
  /** Whether a program is on the PATH. */
  has(program: string): Promise<boolean>;
}

export interface ComposeProject {
  readonly name: string;
  /** The folder that holds compose.yaml and, where there is one, its .env. */
  readonly directory: string;
  /** Seconds its containers have to become healthy, or to end where `create` replaces them; 120 by default. */
  readonly wait?: number;
  /** For `create`: how many containers services have, those of an earlier declaration among them, which stay. */
  readonly scale?: Readonly<Record<string, number>>;
}

/** `pull` brings only the images that are missing; `create` starts nothing; `up` waits until every container is healthy. */
export type ComposeAction = 'pull' | 'create' | 'up' | 'down' | 'stop';

/**
 * One kind of resource: its declaration, and how it is read, compared, applied and removed on a host. Kinds are plain
 * values; the engine knows none of them.
 */
export interface Kind<Schema extends z.ZodType<object>, S, P = z.output<Schema>> {
  readonly kind: string;
  /** One sentence for the reference documentation. */
  readonly summary: string;
  readonly props: Schema;
  id(props: P): string;
  /** What is there now; undefined where nothing is, or where the tool that would know is not installed yet. */
  read(host: Host, props: P): Promise<S | undefined>;
  /** What differs from what should be: pure, and empty exactly when nothing has to be done. */
  diff(state: S | undefined, props: P): readonly Change[];
  /** Why it would be refused, as far as its state tells: asked before anything at all is changed. Pure. */
  foresee?(state: S | undefined, props: P): DeployError | undefined;
  /** Makes it so. Afterwards `read` and `diff` must find no difference, or the engine reports an error. */
  apply(host: Host, props: P, state: S | undefined): Promise<void>;
  /** Applies several at once where that is one transaction for the tool behind it, such as apt. */
  applyAll?(host: Host, all: readonly P[]): Promise<void>;
  /** What is remembered of it so that it can be removed when it is no longer declared. Never a secret. */
  footprint(props: P): Record<string, unknown>;
  /** Takes it off the host again. Must not fail where it is gone already. */
  remove(host: Host, footprint: Record<string, unknown>): Promise<void>;
  /** A mistake in it can lock the owner out, so it is applied under the guard. */
  readonly guarded?: boolean;
  /**
   * Removal where it was there before Slipway came: `release` (the default) only stops owning it, `remove` still calls
   * `remove`, for kinds that bring back what was there.
   */
  readonly preexisting?: 'release' | 'remove';
  /** What stays on the host when it is removed, in the words of the plan. */
  readonly leaves?: string;
  /** How the plan calls its creation; `create` by default. */
  readonly verb?: 'create' | 'release';
}

export interface DeclarationOptions {
  /** Units to reload or restart once after this has changed. */
  readonly triggers?: readonly Trigger[];
  /** Its content is never shown. */
  readonly sensitive?: boolean;
  /** It has to be there when packages are installed: what a program reads when its package starts it. */
  readonly beforePackages?: boolean;
}

/** One kind from its parts; only here so that the compiler can infer them. */
export function defineKind<Schema extends z.ZodType<object>, S>(kind: Kind<Schema, S>): Kind<Schema, S> {
  return kind;
}

/** A declaration before it is known which playbook made it. */
export interface Declared extends Omit<Declaration, 'playbook'> {
  readonly beforePackages?: boolean;
}

/** The constructor a playbook calls for one kind: checks the properties and returns plain data. */
export function declares<Schema extends z.ZodType<object>, S>(
  kind: Kind<Schema, S>,
): (props: z.input<Schema>, options?: DeclarationOptions) => Declared {
  return (input, options = {}) => {
    const props = kind.props.parse(input);
    return {
      kind: kind.kind,
      id: kind.id(props),
      props: props as Record<string, unknown>,
      triggers: [...(options.triggers ?? [])],
      sensitive: options.sensitive ?? false,
      ...(options.beforePackages === true ? { beforePackages: true } : {}),
    };
  };
}

/** The trigger that reloads a unit (restarting it only where it cannot reload). */
export function reload(unit: string): Trigger {
  return { unit, action: 'reload' };
}

/** The trigger that restarts a unit. */
export function restart(unit: string): Trigger {
  return { unit, action: 'restart' };
}
