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
  locked: {
    exit: EXIT.locked,
    means: 'Another operation is at work on the host.',
    fix: 'Follow it with `deploy attach <environment>`, or run the same command again when it has ended.',
  },
  'account-missing': {
    exit: EXIT.failed,
    means: 'A file or directory should belong to a user or group that the host does not have.',
    fix: 'Declare the user or group before what belongs to it.',
  },
  'unit-failed': {
    exit: EXIT.failed,
    means: 'A systemd unit could not be started, reloaded or restarted.',
    fix: 'Its last log lines are in the message; mend what they name and run the same command again.',
  },
  'not-converged': {
    exit: EXIT.failed,
    means: 'A resource was applied without an error, and still differs from what was declared.',
    fix: 'Something on the host changes it back, or the resource has a defect; the message shows what still differs.',
  },
  'unknown-kind': {
    exit: EXIT.failed,
    means: 'The runner on the host does not know a kind of resource that was declared.',
    fix: 'Rebuild Slipway, so that the laptop and the runner are of one version.',
  },
  'duplicate-resource': {
    exit: EXIT.usage,
    means: 'Two playbooks declare the same resource with different properties.',
    fix: 'Declare it in one place.',
  },
  'sandbox-unavailable': {
    exit: EXIT.failed,
    means: 'This machine cannot run the sandbox: it needs Linux, root, cgroup v2 and a few packages.',
    fix: 'Do what the message says; on a machine without Linux, give `deploy up` a real host instead.',
  },
  'sandbox-host-unknown': {
    exit: EXIT.usage,
    means: 'No host of this name is in the sandbox.',
    fix: 'See what is there with `deploy sandbox list`, or make it with `deploy sandbox up <name>`.',
  },
  'sandbox-host-exists': {
    exit: EXIT.usage,
    means: 'A sandbox host of this name stands already, and is not what was asked for.',
    fix: 'Use another name, or remove it first with `deploy sandbox down <name>`.',
  },
  'sandbox-failed': {
    exit: EXIT.failed,
    means: 'A sandbox host could not be made, started or stopped.',
    fix: 'Its last lines are in the message; `deploy sandbox down` clears everything away for a fresh start.',
  },
} as const satisfies Record<string, CodeEntry>;

export type ErrorCode = keyof typeof ERROR_CODES;
