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
  'inventory-missing': {
    exit: EXIT.usage,
    means: 'The project has no inventory file of that name.',
    fix: 'Name one of the environments in inventory/, or write inventory/<name>.yaml for a new one.',
  },
  'inventory-invalid': {
    exit: EXIT.usage,
    means: 'The inventory, or the .env file beside it, says something that cannot be carried out.',
    fix: 'Correct every line the message names; inventory/example.yaml explains every key.',
  },
  'control-unknown': {
    exit: EXIT.usage,
    means: 'The inventory accepts a finding of a control that does not exist.',
    fix: 'Correct its name below `audit.accept`; `deploy audit <environment> --all` lists them.',
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
  'sandbox-image-failed': {
    exit: EXIT.failed,
    means: 'A container image of the sandbox could not be made, or not be brought to its registry.',
    fix: 'Its last lines are in the message; mend what they name and run the same command again.',
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
  'host-key-retired': {
    exit: EXIT.failed,
    means:
      'The only key pinned for the host is an ECDSA key, which sshd does not present any more once it is hardened.',
    fix: 'Have the host make an Ed25519 key (`ssh-keygen -A` there), compare its fingerprint, and add it to the known_hosts file.',
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
    fix: "Look for the out-of-memory killer in the host's kernel log, then run the same command again.",
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
  'docker-failed': {
    exit: EXIT.failed,
    means: 'The Docker engine on the host did not answer, or refused a request.',
    fix: 'Its own words are in the message; `journalctl -u docker` on the host says more.',
  },
  'docker-config-invalid': {
    exit: EXIT.failed,
    means: 'The configuration of the Docker daemon would not be accepted by it; what runs was left as it is.',
    fix: 'Correct the key that the message names, in the inventory or in /etc/docker/daemon.json on the host.',
  },
  'network-in-use': {
    exit: EXIT.failed,
    means: 'A Docker network has to be made anew to change its addresses, but containers are attached to it.',
    fix: 'Stop and remove the containers that the message lists, or keep the old addresses.',
  },
  'subnet-taken': {
    exit: EXIT.failed,
    means: 'The addresses wanted for a Docker network are already used by another network of the host.',
    fix: 'Remove the other network or choose another subnet.',
  },
  'compose-invalid': {
    exit: EXIT.failed,
    means: 'Docker Compose does not accept the Compose file; what runs was left as it is.',
    fix: 'Correct the service that the message names.',
  },
  'image-not-found': {
    exit: EXIT.failed,
    means: 'The registry has no image of that name and tag.',
    fix: 'Check the image in the inventory, and that it was pushed.',
  },
  'image-unauthorized': {
    exit: EXIT.failed,
    means: 'The registry gives an image only to those who log in, and the host has not or may not.',
    fix: 'Give the registry and its credentials under docker.registries in the inventory.',
  },
  'registry-unreachable': {
    exit: EXIT.failed,
    means: 'The host could not reach the registry of an image.',
    fix: 'Check the name of the registry, and the way out and the DNS of the host; then run the same command again.',
  },
  'registry-login-failed': {
    exit: EXIT.failed,
    means: 'A registry refused the user name or the password, or could not be reached.',
    fix: 'Check the credentials in the .env file; a token may have expired.',
  },
  'image-not-loaded': {
    exit: EXIT.failed,
    means: 'An image was sent to a host, and the engine there did not take it.',
    fix: 'Run the same command again: what the host lacks is sent anew.',
  },
  'image-build-failed': {
    exit: EXIT.failed,
    means: 'An image could not be built on a host; what serves there was not touched.',
    fix: 'Mend what the last lines of the build name; a host with little memory needs swap, or an image built elsewhere.',
  },
  'archive-invalid': {
    exit: EXIT.failed,
    means: 'An archive of images is damaged, ends early, or is not as `docker save` writes one.',
    fix: 'Write it again with `docker save --output shop.tar shop:v42` or `docker buildx build --output type=docker`.',
  },
  'engine-unreachable': {
    exit: EXIT.failed,
    means: 'An image was to come from this machine, and neither Docker nor Podman answers here.',
    fix: 'Start it, or name an archive (`--images shop.tar`) or the registry (`--images registry`).',
  },
  'image-not-local': {
    exit: EXIT.failed,
    means: 'An image was to come from this machine, and it is not here.',
    fix: 'Build it under the name that the inventory gives it, or release from the registry with `--images registry`.',
  },
  'container-failed': {
    exit: EXIT.failed,
    means: 'A container did not start, ended, or did not become healthy in time.',
    fix: 'Its last log lines are in the message; mend what they name and run the same command again.',
  },
  'port-taken': {
    exit: EXIT.failed,
    means: 'A port that is wanted is already used by another program of the host.',
    fix: 'Find it with `ss -ltnp` on the host and stop it, or choose another port.',
  },
  'disk-full': {
    exit: EXIT.failed,
    means: 'The disk of the host is full.',
    fix: 'Make room: `df -h`, `docker system df` and `journalctl --disk-usage` on the host show what takes it.',
  },
  'nginx-invalid': {
    exit: EXIT.failed,
    means: 'nginx does not accept the configuration that was to be put in place; what runs was left as it is.',
    fix: 'Correct the template or the route at the line that the message shows.',
  },
  'nginx-broken-before': {
    exit: EXIT.failed,
    means: 'The nginx configuration on the host was already invalid, in a file that is not being changed.',
    fix: 'Correct or remove the file that the message names, and try `nginx -t` on the host.',
  },
  'firewall-would-lock-out': {
    exit: EXIT.failed,
    means: 'The firewall was not enabled, since no rule of it would let SSH through.',
    fix: 'Declare an allow rule for the SSH port in use, from where you connect.',
  },
  'firewall-conflict': {
    exit: EXIT.failed,
    means: 'A firewall rule that is not ours says the opposite of one that is declared.',
    fix: 'Delete the rule on the host with `ufw delete`, or take the declared one out of the inventory.',
  },
  'firewall-failed': {
    exit: EXIT.failed,
    means: 'The packet filter did not accept a rule or a table.',
    fix: 'Its own words are in the message; `ufw status verbose` and `nft list ruleset` on the host show what is in force.',
  },
  'fail2ban-invalid': {
    exit: EXIT.failed,
    means: 'fail2ban does not accept a jail, or does not start with it.',
    fix: 'Correct the option that the message names; `fail2ban-client -t` on the host checks the whole configuration.',
  },
  'logrotate-invalid': {
    exit: EXIT.failed,
    means: 'logrotate does not accept a rule; what was there was left as it is.',
    fix: 'Correct the line that the message names.',
  },
  'guard-not-armed': {
    exit: EXIT.failed,
    means: 'A change to SSH, the firewall or users was not begun, since nobody could have proven access after it.',
    fix: 'The message says over which way no fresh login works; mend that and run the same command again.',
  },
  'guard-undone': {
    exit: EXIT.failed,
    means: 'A change to SSH, the firewall or users could not be proven by a fresh login, and the host has undone it.',
    fix: 'The message says why the login failed; mend that and run the same command again.',
  },
  'operation-unknown': {
    exit: EXIT.usage,
    means: "There is no such operation in the host's event logs.",
    fix: 'Leave the name out to follow the newest.',
  },
  'operation-died': {
    exit: EXIT.failed,
    means: 'An operation ended without a last word: its runner was killed or the host went down.',
    fix: 'Run `deploy up <environment>` again; it goes on where the last one stopped.',
  },
  'apt-locked': {
    exit: EXIT.locked,
    means: 'Another program on the host kept the package system to itself until the deadline.',
    fix: 'The message names it; let it end (or stop it) on the host, then run the same command again.',
  },
  'first-boot-busy': {
    exit: EXIT.locked,
    means: "The provider's own setup of the image (cloud-init) was not done until the deadline.",
    fix: 'Let it end (`cloud-init status --wait` on the host), then run the same command again; `packages.wait` is how long is waited.',
  },
  'mirror-unreachable': {
    exit: EXIT.failed,
    means: 'The host could not fetch package lists or packages from their mirror.',
    fix: "Check the host's way out (DNS, firewall, proxy) with `apt-get update` there, then run the same command again.",
  },
  'package-unknown': {
    exit: EXIT.failed,
    means: 'None of the repositories of the host has a package of this name.',
    fix: 'Check the name and the sources in /etc/apt on the host; a package of a foreign repository needs that declared.',
  },
  'package-broken': {
    exit: EXIT.failed,
    means: 'The package system of the host was left half-configured, and could not be repaired.',
    fix: 'Run `dpkg --configure -a` and `apt-get -f install` on the host and mend what they name.',
  },
  'clock-off': {
    exit: EXIT.failed,
    means: "The host's clock is so far off that signed package lists seem to come from the future or to have expired.",
    fix: 'Set the clock: `timedatectl set-ntp true` on the host, or `date --set`; then run the same command again.',
  },
  'repository-untrusted': {
    exit: EXIT.failed,
    means: 'The signature of a package repository does not fit the key it was declared with.',
    fix: 'Take the key from where the repository publishes it, and check its fingerprint.',
  },
  'path-taken': {
    exit: EXIT.failed,
    means: 'Something of another type stands where a file, directory or link should be; it is not replaced.',
    fix: 'Look at it on the host; move it away if nobody needs it, or choose another path.',
  },
  'user-busy': {
    exit: EXIT.failed,
    means: 'A user cannot be changed or removed while processes of theirs run.',
    fix: 'End their sessions on the host (`loginctl terminate-user NAME`), then run the same command again.',
  },
  'tool-missing': {
    exit: EXIT.failed,
    means: 'A program that a resource needs is not installed on the host.',
    fix: 'Declare its package before the resource that needs it.',
  },
  'sudoers-invalid': {
    exit: EXIT.failed,
    means: 'visudo refuses a sudoers file; what is live was not changed.',
    fix: 'Correct what the message names.',
  },
  'sshd-invalid': {
    exit: EXIT.failed,
    means: 'sshd refuses its new configuration; what is live was not changed.',
    fix: 'Correct what the message names.',
  },
  'sshd-include-missing': {
    exit: EXIT.failed,
    means: 'The main configuration of sshd does not read /etc/ssh/sshd_config.d, so a file there would do nothing.',
    fix: 'Add `Include /etc/ssh/sshd_config.d/*.conf` as the first line of /etc/ssh/sshd_config on the host.',
  },
  'sshd-overridden': {
    exit: EXIT.failed,
    means: 'Another file gives sshd a different value first, and the first value counts.',
    fix: 'Remove the line from the file that the message names.',
  },
  'login-refused': {
    exit: EXIT.failed,
    means: 'The user that Slipway logs in as would not be let in; nothing was changed.',
    fix: 'Change the line or the account that the message names on the host, then run the same command again.',
  },
  'sysctl-refused': {
    exit: EXIT.failed,
    means: 'The kernel refuses a value.',
    fix: 'Correct the value; `man 5 proc` and the kernel documentation say what it may be.',
  },
  'release-rejected': {
    exit: EXIT.rejected,
    means: 'A new release did not become healthy; it was stopped, and the old one serves on untouched.',
    fix: 'The message names the cause and the last words of its container; mend it and run the same command again.',
  },
  'release-aborted': {
    exit: EXIT.rejected,
    means: 'A release was called off before the flip, by whoever began it or because their connection was lost.',
    fix: 'Run the same command again when it is wanted; the old release serves on untouched.',
  },
  'release-taken-back': {
    exit: EXIT.rejected,
    means: 'A release was worse than the one before it once requests went to it, so they go to the old one again.',
    fix: 'The message says what was seen; the access log and the logs of its containers, which are kept, say more.',
  },
  'workers-failed': {
    exit: EXIT.failed,
    means: 'A release serves, and its workers (services without a route) do not keep running.',
    fix: 'The message has the last words of the worker; mend it and release again, or go back with `deploy rollback`.',
  },
  'canary-open': {
    exit: EXIT.failed,
    means: 'A release is paused as a canary: some clients get it, and all others the one before it.',
    fix: 'Give it to more clients with `deploy canary promote <environment>`, or to none with `deploy canary abort <environment>`.',
  },
  'canary-unknown': {
    exit: EXIT.failed,
    means: 'There is no paused canary to promote or to abort: none was begun, or it has come to its end.',
    fix: 'See what serves with `deploy status <environment>`; `deploy release <environment> --canary 10 --pause` begins one.',
  },
  'release-unknown': {
    exit: EXIT.failed,
    means: 'The host keeps no such release to go back to.',
    fix: 'List the releases with `deploy releases <environment>` and name one of them by its id or tag.',
  },
  'certificate-dns': {
    exit: EXIT.failed,
    means: 'A domain does not lead to the host that wants a certificate for it.',
    fix: 'Point every A and AAAA record of the domain at the host, or remove those that lead elsewhere, then run the command again.',
  },
  'certificate-challenge': {
    exit: EXIT.failed,
    means: 'The proof of control over a domain cannot be read from the host on port 80.',
    fix: "Open port 80 in ufw and in the provider's firewall, and check what answers there with `curl -i http://<domain>/.well-known/acme-challenge/x`.",
  },
  'certificate-caa': {
    exit: EXIT.failed,
    means: 'The CAA records of a domain do not allow the authority to issue for it.',
    fix: 'Add the authority to the CAA records of the domain or of its parents, or remove them.',
  },
  'certificate-rate-limited': {
    exit: EXIT.failed,
    means: 'The authority issues no more to this account, host or domain for now.',
    fix: "Wait until the time in the message; the host's own renewal tries again by itself. Use the staging directory for tests.",
  },
  'certificate-name-refused': {
    exit: EXIT.failed,
    means: 'The authority does not issue for one of the names at all.',
    fix: 'Check the spelling of the domains in the inventory; only public names in ASCII can have a certificate.',
  },
  'certificate-account': {
    exit: EXIT.failed,
    means: 'The authority does not accept the account or its e-mail address.',
    fix: 'Check the e-mail address in the inventory, and whether the authority wants an account made on its site first.',
  },
  'certificate-authority': {
    exit: EXIT.failed,
    means: 'The certificate authority cannot be reached or fails on its side.',
    fix: "Check from the host that its directory answers, and its status page; the host's own renewal tries again by itself.",
  },
  'certificate-refused': {
    exit: EXIT.failed,
    means: 'The certificate authority refused, or sent something that must not be used.',
    fix: 'Read what it says in the message; if it makes no sense for this host, report it with the output of --json.',
  },
  'unsupported-host': {
    exit: EXIT.failed,
    means: 'The host runs an operating system or on an architecture that Slipway does not support.',
    fix: 'Use Debian 12 or 13, or Ubuntu 22.04 or 24.04, on x86-64 or ARM64.',
  },
  'runtime-unavailable': {
    exit: EXIT.failed,
    means: 'The Node runtime for the runner could not be downloaded, or is not what it should be.',
    fix: 'Check that this machine reaches its npm registry, then run the same command again.',
  },
  'sudo-unavailable': {
    exit: EXIT.failed,
    means: 'The user of the connection cannot become root without a password.',
    fix: 'Connect as root for the first time, or give the user passwordless sudo on the host.',
  },
  'runner-not-brought': {
    exit: EXIT.failed,
    means: 'The runner or its runtime could not be put in place on the host.',
    fix: 'Mend what the message says on the host (space, a read-only or noexec /opt), then run the same command again.',
  },
  'runner-failed': {
    exit: EXIT.failed,
    means: 'The runner on the host did not start or did not speak as expected.',
    fix: 'Remove /opt/slipway on the host and run the same command again; it is brought anew.',
  },
  'project-missing': {
    exit: EXIT.usage,
    means: 'The command was run outside a project: there is no inventory/ folder here or above.',
    fix: 'Go to your project, or name it with --project.',
  },
  'address-pools-taken': {
    exit: EXIT.usage,
    means: "Every network that Docker may use overlaps with one the host is on, or has no room for the app's network.",
    fix: 'Name a private network that is free in `docker.addressPools` of the inventory.',
  },
  'too-many-replicas': {
    exit: EXIT.usage,
    means: "The app's network has too few addresses for all replicas of its services in two slots.",
    fix: 'Lower `deploy.replicas`, or name a larger network in `docker.addressPools` of the inventory.',
  },
  'container-missing': {
    exit: EXIT.failed,
    means: 'No container of that service or accessory runs on the host.',
    fix: 'See what runs with `deploy status <environment>`, and why one does not with `deploy logs <environment> <service>`.',
  },
  'maintenance-ineffective': {
    exit: EXIT.failed,
    means: 'Maintenance was asked for, and nginx went on serving the app; it was switched off again.',
    fix: 'Run `deploy up <environment>`, which writes the site anew, then run the same command again.',
  },
  'command-not-started': {
    exit: EXIT.failed,
    means: 'The command could not be started in the container.',
    fix: 'Check that the program exists in the image; `deploy exec <environment> <service> -- ls /bin` may help.',
  },
  'tunnel-unclear': {
    exit: EXIT.usage,
    means: 'It is not clear which port of the target the tunnel leads to.',
    fix: 'Write it behind the name: `deploy tunnel <environment> <service>:<port>`.',
  },
  'local-port-taken': {
    exit: EXIT.failed,
    means: 'Another program on this machine listens on that port.',
    fix: 'Name another with --port.',
  },
  'not-confirmed': {
    exit: EXIT.usage,
    means: 'The environment is protected, and the change was not confirmed.',
    fix: 'Type the name of the environment when asked, or add --yes where no person is meant to be asked.',
  },
  'hosts-disagree': {
    exit: EXIT.failed,
    means: 'What was asked for is not the same on all hosts of the environment.',
    fix: 'Bring its hosts to one release first, with `deploy release <environment> --tag …` or `deploy up <environment>`.',
  },
  'digest-unknown': {
    exit: EXIT.failed,
    means: 'An image to be promoted came from no registry, so no other host can get it by its digest.',
    fix: 'Push it to a registry that both environments reach, and release it from there.',
  },
  'requests-lost': {
    exit: EXIT.rejected,
    means: 'Requests that were sent from this machine during the flip were lost, and the release was taken back.',
    fix: 'See why with `deploy logs <environment>`; where the way from this machine is to blame, release from elsewhere.',
  },
  'other-host-failed': {
    exit: EXIT.rejected,
    means: 'The release was called off on this host because it failed on another: all flip, or none.',
    fix: 'Mend what the other host says, then run the same command again.',
  },
  'ledger-broken': {
    exit: EXIT.failed,
    means: 'The ledger on a host is not as it was written: an entry was changed, removed or put in.',
    fix: 'Find out who has been root on the host; from the entry named on, its history proves nothing.',
  },
  'no-backups': {
    exit: EXIT.failed,
    means: 'What was asked about is not backed up on this host.',
    fix: 'Declare `backups` in the inventory and run `deploy up <environment>`, or name one of those that are.',
  },
  'repository-failed': {
    exit: EXIT.failed,
    means: 'A repository of the backups could not be reached, or refused what was asked.',
    fix: 'Read its last lines in the message; check address, credentials and space there, then run the same command again.',
  },
  'backup-failed': {
    exit: EXIT.failed,
    means: 'A backup was not made. Earlier ones are untouched.',
    fix: 'Mend what the message names, then `deploy backup now <environment>`.',
  },
  'backup-alarm': {
    exit: EXIT.failed,
    means: 'Backups are not as they should be: something is missing, late or broken.',
    fix: 'Each line of `deploy backup status <environment>` says what to do.',
  },
  'key-refused': {
    exit: EXIT.failed,
    means: 'This is not the key that the backups are encrypted with, or it may not be shown or replaced.',
    fix: 'Look for the copy that `deploy backup key show` printed once, and try it with `deploy backup key verify`.',
  },
  'restore-refused': {
    exit: EXIT.failed,
    means: 'What was asked for cannot be restored, or must not be restored there. Nothing was changed.',
    fix: 'Take one of the moments that the message names; `deploy backup list <environment>` shows what there is.',
  },
  'restore-failed': {
    exit: EXIT.failed,
    means:
      'Data was restored in place, and a server or the app did not come up on it. Either the old data or the new serves.',
    fix: 'The message says which of the two serves; the other one is kept beside it.',
  },
  'copy-broken': {
    exit: EXIT.failed,
    means: 'A stored copy is not as it was written, or a part of it is missing.',
    fix: 'Take a new one at once with `deploy backup now <environment>`, and find out who changed the object it names.',
  },
  'drill-failed': {
    exit: EXIT.failed,
    means: 'A drill has shown that what is stored cannot be restored as it should.',
    fix: 'Its report names the check and the object: `deploy drills <environment>`. Take a new backup at once.',
  },
} as const satisfies Record<string, CodeEntry>;

export type ErrorCode = keyof typeof ERROR_CODES;
