import type { Answer, Probe } from '#protocol/audit';
import type { PlaybookContext } from './playbook.ts';

/** In the order in which a person should mend them. */
export const SEVERITIES = ['critical', 'high', 'medium', 'low'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** What a value has to be. Lists are compared member by member, whatever their order. */
export type Expectation =
  | { readonly is: string }
  | { readonly oneOf: readonly string[] }
  | { readonly atMost: number }
  | { readonly atLeast: number }
  /** Every member of the value's list is one of these, and there is at least one. */
  | { readonly within: readonly string[] }
  /** The value's list has all of these. */
  | { readonly includes: readonly string[] };

/** Where to look on one host, and what has to be found there. */
export interface Check {
  readonly key: string;
  readonly expect: Expectation;
}

/** What a control is told of a host: a playbook's context without its templates. */
export type ControlContext = Omit<PlaybookContext, 'render'>;

/**
 * One thing that protects a host: declared beside the resource that brings it about, looked up by `deploy audit`, and a
 * line of the documentation.
 */
export interface Control {
  /** Unique and stable, such as `ssh-permit-root-login`: what the inventory accepts a finding by. */
  readonly id: string;
  /** What is so: `root does not log in`. */
  readonly title: string;
  readonly severity: Severity;
  /** What it protects from, in one sentence. */
  readonly why: string;
  /** The inventory key that relaxes it, or why nothing does. */
  readonly relax: string;
  /** What a person does about it where `deploy up` does not: a sentence. */
  readonly mend?: string;
  readonly probe: Probe;
  /** Undefined where it does not apply to a host, or the inventory has switched it off. */
  check(context: ControlContext): Check | undefined;
}

/** The members of a list, however a tool separates them. */
function members(value: string): readonly string[] {
  return value.split(/[\s,]+/).filter((member) => member !== '');
}

/** Whether what was found is what has to be. A value that is not there meets nothing. */
export function meets(answer: Pick<Answer, 'value'>, expect: Expectation): boolean {
  const { value } = answer;
  if (value === undefined) return false;
  if ('is' in expect) return value === expect.is;
  if ('oneOf' in expect) return expect.oneOf.includes(value);
  if ('atMost' in expect) return value.trim() !== '' && Number(value) <= expect.atMost;
  if ('atLeast' in expect) return value.trim() !== '' && Number(value) >= expect.atLeast;
  const found = members(value);
  if ('within' in expect) return found.length > 0 && found.every((member) => expect.within.includes(member));
  return expect.includes.every((member) => found.includes(member));
}

/** What of a value is not as it has to be, as a person reads it: of a list, only the members that are too many or lack. */
export function deviationText(value: string | undefined, expect: Expectation): string {
  if (value === undefined) return 'is not set';
  if (value === '') return 'is empty';
  const found = members(value);
  if ('within' in expect) return `has ${found.filter((member) => !expect.within.includes(member)).join(', ')}`;
  if ('includes' in expect) return `lacks ${expect.includes.filter((member) => !found.includes(member)).join(', ')}`;
  return `is ${value}`;
}

/** What has to be, as a person reads it. */
export function expectationText(expect: Expectation): string {
  if ('is' in expect) return expect.is;
  if ('oneOf' in expect) return expect.oneOf.join(' or ');
  if ('atMost' in expect) return `at most ${expect.atMost}`;
  if ('atLeast' in expect) return `at least ${expect.atLeast}`;
  if ('within' in expect) return `only ${expect.within.join(', ')}`;
  return `with ${expect.includes.join(', ')}`;
}
