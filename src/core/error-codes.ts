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
  'host-unreachable': {
    exit: EXIT.unreachable,
    means: 'No SSH server answered at the address: the name is unknown, or the port is closed, filtered or silent.',
    fix: 'Check the address and the port in the inventory, that the host is up, and that a firewall lets you through.',
  },
  'host-key-unknown': {
    exit: EXIT.failed,
    means: 'The host is met for the first time: no key of it is pinned, so it cannot be told from an impostor.',
    fix: 'Compare the fingerprint with what the provider shows, then trust it with `deploy trust <environment>`.',
  },
  'host-key-changed': {
    exit: EXIT.failed,
    means: 'The host presents another key than the one pinned: it was reinstalled, or somebody stands in between.',
    fix: 'Find out which. Only if it was reinstalled: remove the line the message names and run `deploy trust <environment>`.',
  },
  'host-key-revoked': {
    exit: EXIT.failed,
    means: 'The host presents a key that a known_hosts file marks as revoked.',
    fix: 'Do not connect. Give the host a new key, then trust that one with `deploy trust <environment>`.',
  },
  'known-hosts-unreadable': {
    exit: EXIT.failed,
    means: 'A known_hosts file exists and cannot be read, so no host can be recognised.',
    fix: 'Make the file readable for the person who runs Slipway.',
  },
  'authentication-failed': {
    exit: EXIT.failed,
    means: 'The host refused every key and password that was offered.',
    fix: 'The message lists what was offered and what the host takes; name the right key with `identityFile`.',
  },
  'key-unusable': {
    exit: EXIT.failed,
    means: 'A private key cannot be used: missing, unreadable, open to others, or locked by a passphrase.',
    fix: 'Do what the message says about the file; `ssh-add FILE` puts a locked key into the agent.',
  },
  'handshake-failed': {
    exit: EXIT.failed,
    means: 'What answered is no SSH server that Slipway can talk to: no common algorithm, or not SSH at all.',
    fix: 'Check the port; on the host, allow curve25519-sha256 and aes128-gcm or chacha20-poly1305 in sshd_config.',
  },
  'connection-lost': {
    exit: EXIT.unreachable,
    means: 'The connection to the host broke; an operation already started there runs on to its end.',
    fix: 'Run the same command again, or follow a running operation with `deploy attach <environment>`.',
  },
  'deadline-exceeded': {
    exit: EXIT.failed,
    means: 'The host did not finish in the time that was allowed.',
    fix: 'See what keeps the host busy, then run the same command again.',
  },
  'remote-command-killed': {
    exit: EXIT.failed,
    means: 'A command on the host was ended by a signal, or ended without telling how.',
    fix: 'Look for the out-of-memory killer in the host\'s kernel log, then run the same command again.',
  },
  'remote-output-too-large': {
    exit: EXIT.failed,
    means: 'A command on the host printed more than is kept.',
    fix: 'Run it on the host itself and look at its output there.',
  },
  'upload-failed': {
    exit: EXIT.failed,
    means: 'A file could not be written on the host.',
    fix: 'Check the free space and the permissions of the folder that the message names.',
  },
  'session-refused': {
    exit: EXIT.failed,
    means: 'The host let us in and then refused to run a command or to open a tunnel.',
    fix: 'Look at MaxSessions, AllowTcpForwarding and ForceCommand in the sshd_config of the host named in the message.',
  },
  'ssh-config-invalid': {
    exit: EXIT.usage,
    means: 'The OpenSSH client configuration cannot be read.',
    fix: 'Correct the line that the message names; `ssh -G HOST` checks it.',
  },
  'ssh-config-unsupported': {
    exit: EXIT.usage,
    means: 'The OpenSSH client configuration asks for something that Slipway does not do for this host.',
    fix: 'Write the way to the host as ProxyJump.',
  },
} as const satisfies Record<string, CodeEntry>;

export type ErrorCode = keyof typeof ERROR_CODES;
