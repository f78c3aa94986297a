import type { HostAudit } from '#cli/audit';
import type { Verdict } from '#cli/audit-judge';
import { wrapped } from '#cli/fit';
import type { Paint } from '#cli/paint';
import { formatSeconds } from '#core/units';
import { deviationText, expectationText, type Severity } from '#playbook/control';
import type { Answer } from '#protocol/audit';

export interface TextOptions {
  readonly environment: string;
  /** Every control, not only those that are not as they should be. */
  readonly all: boolean;
  readonly columns: number;
  readonly paint: Paint;
}

const INDENT = ' '.repeat(14);

function colourOf(severity: Severity, paint: Paint): (text: string) => string {
  if (severity === 'critical' || severity === 'high') return paint.red;
  return severity === 'medium' ? paint.yellow : paint.cyan;
}

const isSentence = (text: string): boolean => /^[A-Z]/.test(text);

/** What to do about a finding: what mends it, and what relaxes it. */
function nextStep({ control }: Verdict, environment: string): string {
  const mend = control.mend ?? `\`deploy up ${environment}\` mends it`;
  const sentence = mend.replace(/[.]$/, '');
  const { relax } = control;
  if (isSentence(relax) || relax === '') return sentence;
  return `${sentence}; ${relax.replace(/[.]$/, '')}${relax.includes(' ') ? '' : ' relaxes it'}`;
}

function findingText(verdict: Verdict, { environment, columns, paint }: TextOptions): readonly string[] {
  const { control, answer, expect } = verdict;
  const label = `  ${colourOf(control.severity, paint)('✗')} ${control.severity.padEnd(10)}`;
  const should = expectationText(expect);
  const detail = [
    paint.dim(control.id),
    `${deviationText(answer.value, expect)}, should be ${should}`,
    ...(answer.from === undefined ? [] : [`set by ${answer.from}`]),
    `→ ${nextStep(verdict, environment)}`,
  ];
  return [
    `${label}${paint.bold(control.title)}`,
    ...detail.map((text) => wrapped(`${INDENT}${text}`, columns, INDENT)),
  ];
}

/** Verdicts that share a reason, so that it is said once. */
function byReason(verdicts: readonly Verdict[]): ReadonlyMap<string, readonly Verdict[]> {
  const reasons = new Map<string, Verdict[]>();
  for (const verdict of verdicts) {
    const because = verdict.because ?? '';
    reasons.set(because, [...(reasons.get(because) ?? []), verdict]);
  }
  return reasons;
}

function listed(verdicts: readonly Verdict[]): string {
  return verdicts.map(({ control }) => control.id).join(', ');
}

function toolText({ key, value, cannot, before }: Answer, paint: Paint): string {
  if (value === undefined) return `  ${paint.dim('?')} ${key}: ${cannot ?? 'it said nothing'}`;
  const was = before === undefined ? '' : paint.dim(` (${before.value} on ${before.on})`);
  return `  ${key}: ${paint.bold(value)}${was}`;
}

/** `97 controls: 94 as they should be, 2 findings, 1 accepted, 3 not applicable here`. */
export function summaryText({ verdicts, notApplicable }: Pick<HostAudit, 'verdicts' | 'notApplicable'>): string {
  const count = (status: Verdict['status']) => verdicts.filter((verdict) => verdict.status === status).length;
  const findings = count('finding');
  const parts = [
    `${count('passed')} as they should be`,
    findings === 1 ? '1 finding' : `${findings === 0 ? 'no' : findings} findings`,
    ...(count('accepted') === 0 ? [] : [`${count('accepted')} accepted`]),
    ...(count('unknown') === 0 ? [] : [`${count('unknown')} not to be known here`]),
    ...(notApplicable.length === 0 ? [] : [`${notApplicable.length} not applicable here`]),
  ];
  return `${verdicts.length + notApplicable.length} controls: ${parts.join(', ')}`;
}

/** What an audit found on one host, as a person reads it: findings first, the summary last. */
export function auditText(audit: HostAudit, options: TextOptions): readonly string[] {
  const { paint, columns, all } = options;
  const { verdicts, facts, tools } = audit;
  const of = (status: Verdict['status']) => verdicts.filter((verdict) => verdict.status === status);
  const line = (text: string, indent: string) => wrapped(text, columns, indent);
  const findings = of('finding').flatMap((verdict) => [...findingText(verdict, options), '']);
  const accepted = of('accepted').map(({ control, because }) =>
    line(`  ${paint.yellow('~')} ${control.id} accepted: ${because}`, '    '),
  );
  const unknown = [...byReason(of('unknown'))].map(([because, those]) =>
    line(`  ${paint.dim('?')} ${because}: ${listed(those)}`, '    '),
  );
  const passed = all
    ? of('passed').map(({ control, answer }) =>
        line(`  ${paint.green('✓')} ${control.id}: ${control.title}${paint.dim(` (${answer.value})`)}`, '    '),
      )
    : [];
  const absent =
    all && audit.notApplicable.length > 0
      ? [line(`  - not applicable: ${audit.notApplicable.map(({ id }) => id).join(', ')}`, '    ')]
      : [];
  const good = of('finding').length === 0;
  const sign = good ? paint.green('✓') : paint.red('✗');
  return [
    `${paint.bold(audit.host)}  ${paint.dim(facts?.os.name ?? '')}`,
    ...findings,
    ...accepted,
    ...unknown,
    ...passed,
    ...absent,
    ...tools.map((answer) => toolText(answer, paint)),
    line(`  ${sign} ${paint.bold(summaryText(audit))}${paint.dim(`, ${formatSeconds(audit.duration)}`)}`, '    '),
  ];
}

/** What an audit found on one host, for a machine. */
export function auditJson({ host, verdicts, notApplicable, tools, duration }: HostAudit): Record<string, unknown> {
  return {
    type: 'audit',
    host,
    controls: verdicts.map(({ control, status, answer, expect, because }) => ({
      id: control.id,
      title: control.title,
      severity: control.severity,
      status,
      value: answer.value,
      wanted: expectationText(expect),
      from: answer.from,
      why: because ?? control.why,
    })),
    notApplicable: notApplicable.map(({ id }) => id),
    tools: tools.map(({ key, value, cannot, before }) => ({ tool: key, value, cannot, before })),
    duration,
  };
}
