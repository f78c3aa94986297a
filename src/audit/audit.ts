import { asDeployError } from '#core/errors';
import type { Answer, Probe, Question } from '#protocol/audit';
import type { Host } from '#resources/resource';
import { sshd } from './probes/sshd.ts';

/** One way of asking the running system; all of an audit's questions to it come at once. */
export interface HostProbe {
  readonly name: Probe;
  ask(host: Host, keys: readonly string[]): Promise<ReadonlyMap<string, Omit<Answer, 'probe' | 'key'>>>;
}

const ALL: readonly HostProbe[] = [sshd];

/** Answers every question, all probes at once; one that fails says so in its answers and spoils no other. */
export async function answer(host: Host, questions: readonly Question[]): Promise<readonly Answer[]> {
  const answers = ALL.map(async ({ name, ask }): Promise<readonly Answer[]> => {
    const keys = [...new Set(questions.filter(({ probe }) => probe === name).map(({ key }) => key))];
    if (keys.length === 0) return [];
    try {
      const found = await ask(host, keys);
      return keys.map((key) => ({ probe: name, key, ...found.get(key) }));
    } catch (error) {
      const cannot = asDeployError(error).message;
      return keys.map((key) => ({ probe: name, key, cannot }));
    }
  });
  return (await Promise.all(answers)).flat();
}
