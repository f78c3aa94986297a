import { expect, test } from 'vitest';
import { commandKind } from '#resources/command';

test('why it runs is what the plan shows, until its check says that it is done', () => {
  const props = commandKind.props.parse({ name: 'x', why: 'make the stamp', command: ['touch', '/x'], creates: '/x' });
  expect(commandKind.diff(undefined, props)).toEqual([{ summary: 'make the stamp' }]);
  expect(commandKind.diff('done', props)).toEqual([]);
});

test('there is exactly one way to know that it is done', () => {
  const base = { name: 'x', why: 'y', command: ['true'] };
  expect(commandKind.props.safeParse(base).success).toBe(false);
  expect(commandKind.props.safeParse({ ...base, check: ['true'], creates: '/x' }).success).toBe(false);
  expect(commandKind.props.safeParse({ ...base, check: ['true'] }).success).toBe(true);
  expect(commandKind.props.safeParse({ ...base, command: 'rm -rf /', creates: '/x' }).success).toBe(false);
});
