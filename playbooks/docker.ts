import type { Control } from '#playbook/control';
import { definePlaybook } from '#playbook/playbook';
import {
  aptRepository,
  command,
  directory,
  dockerDaemon,
  dockerLogin,
  restart,
  systemdUnit,
} from '#playbook/resources';
import { dockerSource } from './docker-source.ts';
import { freePools } from './networks.ts';
import { packages } from './packages.ts';

const MB = 1024 ** 2;
const PROOF = '/var/lib/slipway/docker-proof';
const METADATA = '/var/lib/containerd/io.containerd.metadata.v1.bolt';

/** The container engine and Compose, with its networks and logs in order. */
export const docker = definePlaybook({
  name: 'docker',
  summary: 'Docker and Compose: bounded logs, networks that do not collide, nothing published unless told to.',
  resources(context) {
    const { environment, facts, render } = context;
    const { registries, logMaxSize, logMaxFile, addressPools } = environment.docker;
    const { repository, ...source } = dockerSource(facts);
    return [
      ...(repository === undefined
        ? []
        : [
            aptRepository({
              name: 'docker',
              uri: repository.uri,
              suites: [repository.suite],
              components: ['stable'],
              key: render('apt/docker.asc', {}),
            }),
          ]),
      ...packages(context, ['ca-certificates', ...source.packages]),
      // containerd keeps every container's environment in a database there that anybody may read.
      directory({ path: METADATA, mode: '0700' }),
      dockerDaemon(
        {
          config: {
            'live-restore': true,
            'log-driver': 'local',
            'log-opts': {
              'max-size': logMaxSize % MB === 0 ? `${logMaxSize / MB}m` : String(logMaxSize),
              'max-file': String(logMaxFile),
            },
            'default-address-pools': freePools(addressPools, facts.networks).map(({ base, size }) => ({ base, size })),
            // A port that is published in spite of everything is published to the host alone.
            ip: '127.0.0.1',
            'no-new-privileges': true,
            'userland-proxy': false,
          },
        },
        { triggers: [restart('docker.service')] },
      ),
      systemdUnit({ name: 'docker.service', enabled: true, active: 'started' }),
      ...Object.entries(registries).map(([registry, login]) =>
        dockerLogin({ registry, ...login }, { sensitive: true }),
      ),
    ];
  },
});

/** That a container really runs here: with the settings above in force, since they are another playbook's. */
export const dockerProof = definePlaybook({
  name: 'docker-proof',
  summary: 'A container made from files of the host runs once, before anything relies on it.',
  resources: ({ render }) => [
    command({
      name: 'docker runs a container',
      why: 'run a container',
      creates: PROOF,
      command: ['sh', '-c', render('docker/prove.sh.hbs', {}), 'prove', PROOF],
      undo: ['rm', '-f', PROOF],
      timeout: 120,
    }),
  ],
});

/** What `deploy audit` asks about Docker. */
export const dockerControls: readonly Control[] = [
  {
    id: 'docker-service',
    title: 'the engine runs, and after a reboot too',
    severity: 'high',
    why: 'Every container depends on it.',
    relax: 'nothing; without it there is no app',
    probe: 'service',
    check: () => ({ key: 'docker.service', expect: { includes: ['active', 'enabled'] } }),
  },
  {
    id: 'docker-live-restore',
    title: 'containers run on while the engine is replaced',
    severity: 'high',
    why: 'Security updates of the engine would be outages, and so be put off (CIS Docker 2.15).',
    relax: 'nothing; unattended updates count on it',
    probe: 'docker',
    check: () => ({ key: 'LiveRestoreEnabled', expect: { is: 'true' } }),
  },
  {
    id: 'docker-no-new-privileges',
    title: 'a process in a container gains no privileges',
    severity: 'medium',
    why: 'A program with the setuid bit in an image would be a way to become root in it (CIS Docker 2.14).',
    relax: "nothing; `security_opt` of a container's own goes over it",
    probe: 'docker',
    check: () => ({ key: 'no-new-privileges', expect: { is: 'true' } }),
  },
  {
    id: 'docker-seccomp',
    title: 'containers may not call all of the kernel',
    severity: 'medium',
    why: 'Most ways out of a container begin at a system call that no app needs (CIS Docker 2.17).',
    relax: "nothing; `security_opt` of a container's own goes over it",
    probe: 'docker',
    check: () => ({ key: 'SecurityOptions', expect: { includes: ['name=seccomp'] } }),
  },
  {
    id: 'docker-default-address',
    title: 'a port is published to the host alone unless it says otherwise',
    severity: 'high',
    why: 'What is published goes past the rules of ufw (CIS Docker 5.13).',
    relax: 'nothing; name the address where a port is published',
    probe: 'docker',
    check: () => ({ key: 'ip', expect: { is: '127.0.0.1' } }),
  },
  {
    id: 'docker-userland-proxy',
    title: 'the kernel forwards published ports',
    severity: 'low',
    why: 'The proxy is a program of root for each port, and hides the address of the client (CIS Docker 2.16).',
    relax: 'nothing; the kernel does the same',
    probe: 'docker',
    check: () => ({ key: 'userland-proxy', expect: { is: 'false' } }),
  },
  {
    id: 'docker-tcp-socket',
    title: 'the engine is not commanded over the network',
    severity: 'critical',
    why: 'Whoever reaches that port is root (CIS Docker 2.7).',
    relax: 'nothing; use an SSH connection (`docker -H ssh://…`)',
    probe: 'docker',
    check: () => ({ key: 'tcp-socket', expect: { is: 'none' } }),
  },
  {
    id: 'docker-privileged',
    title: 'no container is privileged',
    severity: 'high',
    why: 'A privileged container is root on the host (CIS Docker 5.4).',
    relax: 'nothing; where a container needs it, `audit.accept` takes it as it is',
    mend: 'Make the container anew with the capabilities it needs instead of all of them.',
    probe: 'docker',
    check: () => ({ key: 'privileged', expect: { is: 'none' } }),
  },
  {
    id: 'docker-socket-mounts',
    title: "no container holds the engine's socket",
    severity: 'high',
    why: 'Who has it starts a privileged container (CIS Docker 5.31).',
    relax: 'nothing; where a container needs it, `audit.accept` takes it as it is',
    mend: 'Make the container anew without the mount of docker.sock.',
    probe: 'docker',
    check: () => ({ key: 'docker-socket', expect: { is: 'none' } }),
  },
  {
    id: 'docker-logs',
    title: 'logs of containers are bounded',
    severity: 'medium',
    why: 'A container that talks fills the disk of the host (CIS Docker 2.13).',
    relax: '`docker.logMaxSize`, `docker.logMaxFile`',
    probe: 'docker',
    check: () => ({ key: 'LoggingDriver', expect: { is: 'local' } }),
  },
  {
    id: 'docker-socket-permissions',
    title: "the engine's socket is root's and its group's",
    severity: 'critical',
    why: 'Whoever can write to it is root (CIS Docker 3.16).',
    relax: 'nothing; sudo does for a person',
    probe: 'file',
    check: () => ({ key: '/run/docker.sock', expect: { is: '0660 root docker' } }),
  },
  {
    id: 'docker-configuration-permissions',
    title: "the engine's configuration is root's to write",
    severity: 'high',
    why: 'Who can write it can have the engine listen to anybody (CIS Docker 3.18).',
    relax: 'nothing; nobody but root needs more',
    probe: 'file',
    check: () => ({ key: '/etc/docker/daemon.json', expect: { oneOf: ['0644 root root', '0600 root root'] } }),
  },
  {
    id: 'docker-data-permissions',
    title: 'what containers write is closed to users of the host',
    severity: 'high',
    why: 'Files of every container, with their own setuid bits, lie there.',
    relax: 'nothing; nobody but root needs more',
    probe: 'file',
    check: () => ({ key: '/var/lib/docker', expect: { oneOf: ['0710 root root', '0700 root root'] } }),
  },
  {
    id: 'docker-environment-permissions',
    title: 'environments of containers are closed to users of the host',
    severity: 'high',
    why: 'They lie in a file that anybody may read, secrets and all.',
    relax: 'nothing; nobody but root needs more',
    probe: 'file',
    check: () => ({ key: METADATA, expect: { is: '0700 root root' } }),
  },
];
