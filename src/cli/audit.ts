import { type Judgement, judge, questionsFor } from '#cli/audit-judge';
import { lookFromOutside } from '#cli/audit-outside';
import { type ReachOptions, reach } from '#cli/reach';
import { asDeployError, DeployError } from '#core/errors';
import type { Environment, Host } from '#inventory/environment';
import type { Control, ControlContext } from '#playbook/control';
import type { Answer, Question } from '#protocol/audit';
import type { Event } from '#protocol/event';
import type { Facts } from '#protocol/facts';
import { settingsFor } from '#ssh/config';
import { openHost } from '#ssh/operation';

/** Programs of others whose figures are worth keeping. */
const TOOLS = ['ssh-audit', 'lynis', 'docker-bench'] as const;

/** What an audit found on one host, or why it could not look. */
export interface HostAudit extends Judgement {
  readonly host: string;
  readonly facts: Facts | undefined;
  readonly tools: readonly Answer[];
  /** Seconds, from the first knock. */
  readonly duration: number;
  readonly error: DeployError | undefined;
}

export interface AuditOptions extends ReachOptions {
  readonly controls: readonly Control[];
  /** Also run other people's audits, which takes minutes. */
  readonly tools: boolean;
  progress(host: string, message: string): void;
}

/** Ports that the inventory opens. */
function declared({ firewall, ssh }: Environment): readonly number[] {
  return [...firewall.allow.map(({ port }) => port), ...(ssh.port === undefined ? [] : [ssh.port])];
}

/** Ports that containers publish, by the host's own answer. */
function published(answers: readonly Answer[]): readonly number[] {
  const value = answers.find(({ probe, key }) => probe === 'docker' && key === 'published')?.value ?? '';
  return value.split(',').flatMap((text) => (/^\d+$/.test(text) ? [Number(text)] : []));
}

function failure({ error }: Extract<Event, { type: 'operation.failed' }>, host: string): DeployError {
  return new DeployError('runner-failed', error.message, { hint: error.hint, host });
}

/** Looks at one host from inside and from outside at the same time, and judges what is there. */
export async function auditHost(environment: Environment, host: Host, options: AuditOptions): Promise<HostAudit> {
  const started = performance.now();
  const done = (rest: Partial<HostAudit>): HostAudit => ({
    host: host.name,
    facts: undefined,
    tools: [],
    verdicts: [],
    notApplicable: [],
    error: undefined,
    duration: (performance.now() - started) / 1000,
    ...rest,
  });
  try {
    options.progress(host.name, `connecting to ${host.address}`);
    await using connection = await reach(environment, host, options);
    const session = await openHost(connection, options.bundle, (message) => options.progress(host.name, message));
    const { facts } = session.hello;
    const context: ControlContext = { environment, host: host.name, facts };
    const questions: Question[] = [
      ...questionsFor(options.controls, context).filter(({ probe }) => probe !== 'outside'),
      { probe: 'docker', key: 'published' },
      ...(options.tools ? TOOLS.map((key): Question => ({ probe: 'tool', key })) : []),
    ];
    options.progress(host.name, 'looking from inside and from outside');
    const ask = async () => {
      const answers: Answer[] = [];
      for await (const event of session.ask({ verb: 'audit', questions })) {
        if (event.type === 'audit.answered') answers.push(...event.answers);
        if (event.type === 'progress') options.progress(host.name, event.message);
        if (event.type === 'operation.failed') throw failure(event, host.name);
      }
      return answers;
    };
    const { address, port } = connection;
    const isDirect = settingsFor(host.address, {}).jumps.length === 0;
    const [answers, outside] = await Promise.all([
      ask(),
      lookFromOutside({ address, connected: isDirect ? { address, port } : undefined }, facts, declared(environment)),
    ]);
    // Without a process for each port, what Docker publishes listens nowhere: only the engine knows.
    await outside.look(published(answers));
    const found = [...answers, ...outside.answers()];
    return done({
      facts,
      ...judge(options.controls, context, found, environment.audit.accept),
      tools: answers.filter(({ probe }) => probe === 'tool'),
    });
  } catch (error) {
    return done({ error: asDeployError(error).at({ host: host.name }) });
  }
}
