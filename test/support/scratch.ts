import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const made: string[] = [];

process.once('exit', clearScratch);

/** A temporary folder that goes with the file of tests that has made it. */
export function scratch(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `slipway-${name}-`));
  made.push(folder);
  return folder;
}

/** Removes what `scratch` has made. */
export function clearScratch(): void {
  for (const folder of made.splice(0)) {
    try {
      rmSync(folder, { recursive: true, force: true });
    } catch {
      // Whoever still writes there ends with its test's host; it is no fault of the test.
    }
  }
}
