/** Process exit codes, the same for every verb. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  changes: 3,
  rejected: 4,
  locked: 5,
  unreachable: 6,
  interrupted: 130,
} as const;

interface CodeEntry {
  readonly exit: number;
  /** One sentence: what has happened. */
  readonly means: string;
  /** One or two sentences: what the person does next. */
  readonly fix: string;
}

/**
 * Every error Slipway reports, by code. `deploy explain CODE` prints an entry and the documentation
 * lists them all; a test keeps the two equal.
 */
export const ERROR_CODES = {
  usage: {
    exit: EXIT.usage,
    means: 'The command line could not be understood.',
    fix: 'Run the verb with --help; it lists its arguments and options.',
  },
  internal: {
    exit: EXIT.failed,
    means: 'Slipway itself failed in a way it did not foresee.',
    fix: 'Run the same command again with --json, and report its output: this is a defect.',
  },
  interrupted: {
    exit: EXIT.interrupted,
    means: 'The command was interrupted here; an operation already started on a host runs on to its end.',
    fix: 'Follow it with `deploy attach <environment>`.',
  },
  'template-missing': {
    exit: EXIT.failed,
    means: 'A playbook asks for a template that is neither in the project nor in Slipway.',
    fix: 'Check its path below templates/.',
  },
  'template-failed': {
    exit: EXIT.failed,
    means: 'A template uses a name that its playbook does not give it, or is not valid Handlebars.',
    fix: 'Correct the template; what a playbook gives its templates stands in the playbook.',
  },
  'command-failed': {
    exit: EXIT.failed,
    means: 'A program that a resource needed ended with an error on the host.',
    fix: 'Its last lines are in the message; mend what they name and run the same command again.',
  },
} as const satisfies Record<string, CodeEntry>;

export type ErrorCode = keyof typeof ERROR_CODES;
