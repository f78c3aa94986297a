import type { Command } from 'commander';

/** One verb of the command line: one file below verbs/, one line in verbs/index.ts. */
export interface Verb {
  /** Adds arguments, options and the action to the verb's command. */
  define(command: Command): void;
}

/** What main needs to know of a verb without loading it. */
export interface VerbEntry {
  readonly summary: string;
  readonly load: () => Promise<{ readonly verb: Verb }>;
}
