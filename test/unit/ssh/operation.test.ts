import { expect, test } from 'vitest';
import { proofCommand } from '#ssh/operation';

test.each([
  ['root', 'root', 'prove'],
  ['deploy', 'deploy', 'sudo -n prove'],
  ['root', 'deploy', 'runuser -u deploy -- sudo -n prove'],
  ['debian', 'deploy', 'sudo -n runuser -u deploy -- sudo -n prove'],
  ['debian', 'root', 'sudo -n prove'],
])('connected as %s, %s becomes root by: %s', (connected, user, line) => {
  expect(proofCommand(connected, user, ['prove'])).toBe(line);
});
