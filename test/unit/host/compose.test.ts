import { expect, test } from 'vitest';
import { pullProgress } from '#host/compose';

test.each([
  [' web Pulling ', 'web: image is being pulled'],
  [' web Pulled ', 'web: image pulled'],
  [' 5b1e27e74327 Pulling fs layer ', undefined],
  [' 5b1e27e74327 Downloading [==>   ]  1.2MB/30MB', undefined],
  ['', undefined],
])('of the line %j a person hears %j', (line, heard) => {
  expect(pullProgress(line)).toBe(heard);
});
