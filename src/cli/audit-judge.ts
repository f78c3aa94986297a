import { type Control, type ControlContext, meets, SEVERITIES, type Severity } from '#playbook/control';
import type { Answer, Question } from '#protocol/audit';

/** What became of one control on one host. */
export interface Verdict {
  readonly control: Control;
  readonly status: 'passed' | 'finding' | 'accepted' | 'unknown';
  readonly answer: Pick<Answer, 'value' | 'from' | 'cannot' | 'failed'>;
  readonly expect: NonNullable<ReturnType<Control['check']>>['expect'];
  /** Why it is accepted, cannot be known, or could not be looked up. */
  readonly because: string | undefined;
}

/** All that an audit has to say of one host. */
export interface Judgement {
  /** The gravest first. */
  readonly verdicts: readonly Verdict[];
  /** Controls that say nothing about this host. */
  readonly notApplicable: readonly Control[];
}

/** What has to be asked of a host to judge it by these controls. */
export function questionsFor(controls: readonly Control[], context: ControlContext): readonly Question[] {
  return controls.flatMap(({ probe, check }) => {
    const asked = check(context);
    return asked === undefined ? [] : [{ probe, key: asked.key }];
  });
}

const gravity = ({ control }: { readonly control: { readonly severity: Severity } }): number =>
  SEVERITIES.indexOf(control.severity);

/** Holds what was found against what has to be. */
export function judge(
  controls: readonly Control[],
  context: ControlContext,
  answers: readonly Answer[],
  accept: Readonly<Record<string, string>>,
): Judgement {
  const known = new Map(answers.map((answer) => [`${answer.probe} ${answer.key}`, answer]));
  const notApplicable: Control[] = [];
  const verdicts = controls.flatMap((control): readonly Verdict[] => {
    const check = control.check(context);
    if (check === undefined) {
      notApplicable.push(control);
      return [];
    }
    const answer: Verdict['answer'] = known.get(`${control.probe} ${check.key}`) ?? { failed: 'the host did not say' };
    const verdict = { control, answer, expect: check.expect };
    if (meets(answer, check.expect)) return [{ ...verdict, status: 'passed', because: undefined }];
    const reason = accept[control.id];
    if (reason !== undefined) return [{ ...verdict, status: 'accepted', because: reason }];
    if (answer.cannot !== undefined) return [{ ...verdict, status: 'unknown', because: answer.cannot }];
    return [{ ...verdict, status: 'finding', because: answer.failed }];
  });
  return { verdicts: verdicts.sort((a, b) => gravity(a) - gravity(b)), notApplicable };
}
