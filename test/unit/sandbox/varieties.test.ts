import { expect, test } from 'vitest';
import { bytesLeftOf, inOrder, loginOf } from '../../../src/sandbox/varieties.ts';

test('varieties are prepared in the order of their table', () => {
  expect(inOrder(['no-sudo', 'debian-user', 'no-sudo'])).toEqual(['debian-user', 'no-sudo']);
});

test('the login follows from the varieties', () => {
  expect(loginOf([])).toEqual({ user: 'root', takesPassword: false });
  expect(loginOf(['debian-user', 'cloud-init'])).toEqual({ user: 'debian', takesPassword: false });
  expect(loginOf(['root-password'])).toEqual({ user: 'root', takesPassword: true });
});

test('only a nearly full disk is a disk of its own', () => {
  expect(bytesLeftOf(['cloud-init'])).toBeUndefined();
  expect(bytesLeftOf(['disk-nearly-full'])).toBe(60 * 1024 ** 2);
});
