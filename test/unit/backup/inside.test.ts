import { expect, test } from 'vitest';
import { wasNeverBegun } from '#backup/inside';

const NEVER =
  'OCI runtime exec failed: exec failed: unable to start container process: waiting for init preliminary setup: read init-p: connection reset by peer: unknown';
const MISSING =
  'OCI runtime exec failed: exec failed: unable to start container process: exec: "psql": executable file not found in $PATH: unknown';

test.each([
  ['what the container runtime could not begin', { exitCode: 128, stderr: NEVER }, true],
  ['and told after a warning', { exitCode: 126, stderr: `WARNING: something\n${NEVER}\n` }, true],
  ['a program that the image lacks', { exitCode: 127, stderr: MISSING }, false],
  ['a program that failed', { exitCode: 1, stderr: 'ERROR:  relation "users" does not exist' }, false],
  ['a program that ended well', { exitCode: 0, stderr: NEVER }, false],
  [
    'a container that does not run',
    { exitCode: 1, stderr: 'Error response from daemon: container x is not running' },
    false,
  ],
])('only what has not run is begun again: %s', (_name, output, again) => {
  expect(wasNeverBegun(output)).toBe(again);
});
