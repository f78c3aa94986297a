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

/** The file that is to blame, where it is a drop-in of somebody else's that wins over ours. */
function foreignDropIn(from: string | undefined): string | undefined {
  const isForeign = from !== undefined && /\.d\/[^/]+$/.test(from) && !from.includes('slipway');
  // Files of jails are called by their jail, whoever wrote them.
  return isForeign && !from.startsWith('/etc/fail2ban/jail.d/') ? from : undefined;
}

/** What mends a finding where `deploy up` alone does not; undefined where it does. */
function mendOf({ control, answer }: Verdict, environment: string): string | undefined {
  const foreign = foreignDropIn(answer.from);
  if (control.mend !== undefined || foreign === undefined) return control.mend;
  return `Take it out of ${foreign.replace(/:\d+$/, '')}, then run \`deploy up ${environment}\`.`;
}

/** What to do about a finding beside the one command that mends most, which is said once. */
function nextSteps(verdict: Verdict, environment: string): readonly string[] {
  const mend = mendOf(verdict, environment);
  const { relax } = verdict.control;
  return [...(mend === undefined ? [] : [`→ ${mend}`]), ...(relax.startsWith('`') ? [`or relax it: ${relax}`] : [])];
}

function findingText(verdict: Verdict, { environment, columns, paint }: TextOptions): readonly string[] {
  const { control, answer, expect } = verdict;
  const label = `  ${colourOf(control.severity, paint)('✗')} ${control.severity.padEnd(10)}`;
  const title = wrapped(INDENT + control.title, columns, INDENT).slice(INDENT.length);
  // What a list lacks is all there is to say of it.
  const should = 'includes' in expect && answer.value !== undefined ? '' : `, should be ${expectationText(expect)}`;
  const detail = [
    paint.dim(control.id),
    `${deviationText(answer.value, expect)}${should}`,
    ...(answer.from === undefined ? [] : [`set by ${answer.from}`]),
    ...nextSteps(verdict, environment),
  ];
  return [`${label}${paint.bold(title)}`, ...detail.map((text) => wrapped(`${INDENT}${text}`, columns, INDENT))];
}

/** A text behind a sign, its further lines below its first; what is painted has no width, so it comes last. */
function bullet(sign: string, text: string, { columns }: TextOptions): string {
  return `  ${sign} ${wrapped(`    ${text.replaceAll(/\s*\n\s*/g, ' ')}`, columns, '    ').slice(4)}`;
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

function toolText({ key, value, cannot, failed, before }: Answer, options: TextOptions): string {
  const { paint } = options;
  if (value === undefined) return bullet(paint.dim('?'), `${key}: ${cannot ?? failed ?? 'it said nothing'}`, options);
  const was = before === undefined ? '' : ` (${before.value} on ${before.on})`;
  return bullet(paint.cyan('·'), `${key}: ${value}${was}`, options);
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
  const { environment, paint, all } = options;
  const { verdicts, facts, tools, notApplicable, duration } = audit;
  const of = (status: Verdict['status']) => verdicts.filter((verdict) => verdict.status === status);
  const findings = of('finding');
  const hidden = findings.filter(({ because }) => because !== undefined);
  const seen = findings.filter(({ because }) => because === undefined);
  const passed = all ? of('passed') : [];
  const absent = all && notApplicable.length > 0 ? [notApplicable.map(({ id }) => id).join(', ')] : [];
  const sign = findings.length === 0 ? paint.green('✓') : paint.red('✗');
  return [
    `${paint.bold(audit.host)}  ${paint.dim(facts?.os.name ?? '')}`.trimEnd(),
    ...[...byReason(hidden)].map(([because, those]) => bullet(paint.red('✗'), `${because}: ${listed(those)}`, options)),
    ...seen.flatMap((verdict) => [...findingText(verdict, options), '']),
    ...of('accepted').map(({ control, because }) => bullet(paint.yellow('~'), `${control.id}: ${because}`, options)),
    ...[...byReason(of('unknown'))].map(([because, those]) =>
      bullet(paint.dim('?'), `${because}: ${listed(those)}`, options),
    ),
    ...passed.map(({ control, answer }) =>
      bullet(paint.green('✓'), `${control.id}: ${control.title} (${answer.value})`, options),
    ),
    ...absent.map((ids) => bullet(paint.dim('-'), `not applicable: ${ids}`, options)),
    ...tools.map((answer) => toolText(answer, options)),
    ...(seen.some((verdict) => mendOf(verdict, environment) === undefined)
      ? [bullet(paint.cyan('→'), `\`deploy up ${environment}\` mends what names no other way.`, options)]
      : []),
    bullet(sign, `${summaryText(audit)}, ${formatSeconds(duration)}`, options),
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
    tools: tools.map(({ key, value, cannot, failed, before }) => ({ tool: key, value, cannot, failed, before })),
    duration,
  };
}
