import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { judge, questionsFor, type Verdict } from '#cli/audit-judge';
import { auditJson, auditText, summaryText } from '#cli/audit-text';
import { paintFor } from '#cli/paint';
import { type Control, type ControlContext, SEVERITIES } from '#playbook/control';
import type { Answer } from '#protocol/audit';

const context = {} as ControlContext;

function control(id: string, rest: Partial<Control> = {}): Control {
  return {
    id,
    title: `the ${id} is closed`,
    severity: 'high',
    why: 'Because.',
    relax: '`ssh.options`',
    probe: 'sshd',
    check: () => ({ key: id, expect: { is: 'no' } }),
    ...rest,
  };
}

const answer = (key: string, rest: Partial<Answer>): Answer => ({ probe: 'sshd', key, ...rest });

const status = (verdicts: readonly Verdict[]) =>
  Object.fromEntries(verdicts.map((verdict) => [verdict.control.id, verdict.status]));

describe('judging', () => {
  test('each control ends in one way', () => {
    const controls = [
      control('good'),
      control('bad'),
      control('wanted'),
      control('silent'),
      control('hidden'),
      control('wanted-and-good'),
      control('fixed'),
      control('elsewhere', { check: () => undefined }),
    ];
    const answers = [
      answer('good', { value: 'no' }),
      answer('bad', { value: 'yes', from: '/etc/x' }),
      answer('wanted', { value: 'yes' }),
      answer('hidden', { cannot: 'a container may not' }),
      answer('wanted-and-good', { value: 'no' }),
      answer('fixed', { value: 'no', cannot: 'a container may not set it' }),
    ];
    const accept = { wanted: 'the tunnel', 'wanted-and-good': 'once' };
    const judged = judge(controls, context, answers, accept);
    expect(status(judged.verdicts)).toEqual({
      good: 'passed',
      bad: 'finding',
      wanted: 'accepted',
      silent: 'finding',
      hidden: 'unknown',
      'wanted-and-good': 'passed',
      fixed: 'passed',
    });
    expect(judged.notApplicable.map(({ id }) => id)).toEqual(['elsewhere']);
    expect(summaryText(judged)).toBe(
      '8 controls: 3 as they should be, 2 findings, 1 accepted, 1 not to be known here, 1 not applicable here',
    );
  });

  test('the gravest come first, and none is lost', () => {
    const some = fc.uniqueArray(fc.tuple(fc.uuid(), fc.constantFrom(...SEVERITIES)), { selector: ([id]) => id });
    fc.assert(
      fc.property(some, (all) => {
        const controls = all.map(([id, severity]) => control(id, { severity }));
        const { verdicts } = judge(controls, context, [], {});
        const grades = verdicts.map((verdict) => SEVERITIES.indexOf(verdict.control.severity));
        expect(grades).toEqual(grades.toSorted((a, b) => a - b));
        expect(verdicts.map((verdict) => verdict.control.id).sort()).toEqual(all.map(([id]) => id).sort());
      }),
    );
  });

  test('what does not apply is not asked', () => {
    const questions = questionsFor([control('a'), control('b', { check: () => undefined })], context);
    expect(questions).toEqual([{ probe: 'sshd', key: 'a' }]);
  });
});

describe('telling', () => {
  const controls = [
    control('ssh-port', { severity: 'low', check: () => ({ key: 'ssh-port', expect: { within: ['a', 'b'] } }) }),
    control('root', { severity: 'critical', mend: 'Remove the account.', relax: 'Nothing: it is root.' }),
    control('tunnel'),
    control('kernel'),
    control('updates', { probe: 'apt' }),
  ];
  const answers = [
    answer('ssh-port', { value: 'a,c', from: '/etc/ssh/sshd_config.d/01-image.conf:3' }),
    answer('root', { value: 'yes' }),
    answer('tunnel', { value: 'yes' }),
    answer('updates', { probe: 'apt', failed: '`apt-config dump` failed (exit 100)' }),
    answer('kernel', { value: 'yes', cannot: 'a container may not set it' }),
  ];
  const audit = {
    host: 'web-1',
    facts: undefined,
    tools: [
      { probe: 'tool' as const, key: 'lynis', value: '84', before: { value: '62', on: '2026-11-02' } },
      { probe: 'tool' as const, key: 'ssh-audit', cannot: 'it is not installed: `apt-get install ssh-audit`' },
    ],
    duration: 1.24,
    error: undefined,
    ...judge(controls, context, answers, { tunnel: 'to the database' }),
  };
  const options = { environment: 'prod', all: false, columns: 80, paint: paintFor({ isTTY: false }) };

  test('as a person reads it', () => {
    expect(auditText(audit, options).join('\n')).toMatchInlineSnapshot(`
      "web-1
        ✗ \`apt-config dump\` failed (exit 100): updates
        ✗ critical  the root is closed
                    root
                    is yes, should be no
                    → Remove the account.

        ✗ low       the ssh-port is closed
                    ssh-port
                    has c, should be only a, b
                    set by /etc/ssh/sshd_config.d/01-image.conf:3
                    → Take it out of /etc/ssh/sshd_config.d/01-image.conf, then run
                    \`deploy up prod\`.
                    or relax it: \`ssh.options\`

        ~ tunnel: to the database
        ? a container may not set it: kernel
        · lynis: 84 (62 on 2026-11-02)
        ? ssh-audit: it is not installed: \`apt-get install ssh-audit\`
        ✗ 5 controls: 0 as they should be, 3 findings, 1 accepted, 1 not to be known
          here, 1.2 s"
    `);
  });

  test('nothing is wider than the terminal but single words', () => {
    fc.assert(
      fc.property(fc.integer({ min: 40, max: 120 }), (columns) => {
        const lines = auditText(audit, { ...options, all: true, columns }).flatMap((text) => text.split('\n'));
        for (const line of lines) expect(line.trim().includes(' ') && line.length > columns + 2).toBe(false);
      }),
    );
  });

  test('for a machine, every control has one line and its reason', () => {
    const { controls: all } = auditJson(audit) as { controls: Record<string, unknown>[] };
    expect(all.map(({ id, status }) => [id, status])).toEqual([
      ['root', 'finding'],
      ['tunnel', 'accepted'],
      ['kernel', 'unknown'],
      ['updates', 'finding'],
      ['ssh-port', 'finding'],
    ]);
    expect(all[1]).toMatchObject({ value: 'yes', wanted: 'no', why: 'to the database' });
    expect(all[3]).toMatchObject({ why: '`apt-config dump` failed (exit 100)' });
    expect(all[4]).toMatchObject({
      from: '/etc/ssh/sshd_config.d/01-image.conf:3',
      wanted: 'only a, b',
      why: 'Because.',
    });
  });
});
