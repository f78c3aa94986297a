import type { FirewallRule } from '#inventory/environment';
import { definePlaybook } from '#playbook/playbook';
import {
  aptRepository,
  command,
  directory,
  dockerDaemon,
  dockerLogin,
  nftTable,
  restart,
  systemdUnit,
} from '#playbook/resources';
import { dockerSource } from './docker-source.ts';
import { freePools } from './networks.ts';
import { packages } from './packages.ts';

const MB = 1024 ** 2;
const PROOF = '/var/lib/slipway/docker-proof';

interface OpenPort extends Pick<FirewallRule, 'protocol' | 'port'> {
  /** In nft(8)'s words; empty for any. */
  readonly source: string;
}

/** What may come in from outside to a port that a container publishes. */
function openPorts(allow: readonly FirewallRule[]): readonly OpenPort[] {
  const web = [80, 443].map((port): OpenPort => ({ protocol: 'tcp', port, source: '' }));
  const declared = allow.flatMap(({ protocol, port, from }): readonly OpenPort[] => {
    if (from === 'any') return [{ protocol, port, source: '' }];
    return from.map((network) => ({
      protocol,
      port,
      source: `${network.includes(':') ? 'ip6' : 'ip'} saddr ${network}`,
    }));
  });
  return [...web, ...declared];
}

/** The container engine and Compose, with its networks, logs and firewall in order. */
export const docker = definePlaybook({
  name: 'docker',
  summary: 'Docker and Compose: bounded logs, networks that do not collide, nothing published past the firewall.',
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
      ...packages(context, ['ca-certificates', 'nftables', ...source.packages]),
      // containerd keeps every container's environment in a database there that anybody may read.
      directory({ path: '/var/lib/containerd/io.containerd.metadata.v1.bolt', mode: '0700' }),
      nftTable({
        name: 'slipway',
        rules: render('nftables/docker.nft.hbs', { open: openPorts(environment.firewall.allow) }),
      }),
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
