import { asDeployError } from '#core/errors';
import type { Answer, Probe, Question } from '#protocol/audit';
import type { Host } from '#resources/resource';
import { account } from './probes/account.ts';
import { apt } from './probes/apt.ts';
import { docker } from './probes/docker.ts';
import { fail2ban } from './probes/fail2ban.ts';
import { file } from './probes/file.ts';
import { firewall } from './probes/firewall.ts';
import { login } from './probes/login.ts';
import { module } from './probes/module.ts';
import { service } from './probes/service.ts';
import { sshd } from './probes/sshd.ts';
import { sysctl } from './probes/sysctl.ts';
import { systemd } from './probes/systemd.ts';
import { tool } from './probes/tool.ts';

/** What one key was found to be. */
export type Found = Omit<Answer, 'probe' | 'key'>;

/** One way of asking the running system; all of an audit's questions to it come at once. */
export interface HostProbe {
  readonly name: Probe;
  ask(host: Host, keys: readonly string[]): Promise<ReadonlyMap<string, Found>>;
}

const ALL: readonly HostProbe[] = [
  account,
  apt,
  docker,
  fail2ban,
  file,
  firewall,
  login,
  module,
  service,
  sshd,
  sysctl,
  systemd,
  tool,
];

/** Answers every question, all probes at once; one that fails says so in its answers and spoils no other. */
export async function answer(host: Host, questions: readonly Question[]): Promise<readonly Answer[]> {
  const answers = ALL.map(async ({ name, ask }): Promise<readonly Answer[]> => {
    const keys = [...new Set(questions.filter(({ probe }) => probe === name).map(({ key }) => key))];
    if (keys.length === 0) return [];
    try {
      const found = await ask(host, keys);
      return keys.map((key) => ({ probe: name, key, ...found.get(key) }));
    } catch (error) {
      const failed = asDeployError(error).message;
      return keys.map((key) => ({ probe: name, key, failed }));
    }
  });
  return (await Promise.all(answers)).flat();
}
