import { statSync } from 'node:fs';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// Two sandbox hosts busy at once are what two cores bear.
const HOSTS_AT_ONCE = 2;

/** What nothing else may run beside: a load that measures, and the removal of the whole sandbox. */
const ALONE = ['test/e2e/release-load.test.ts', 'test/e2e/sandbox-down.test.ts'];

/** Files that take longer than they are long. */
const SLOW =
  /\/(?:backup|backup-cron|backup-drill|backup-line|backup-model|bans|bring-up|ports|release-faults|release-hosts|upgrades)\.test\.ts$/;

/** The longest first, whichever project they belong to, so that at the end not one worker alone has something to do. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const size = ({ moduleId }: TestSpecification) => (SLOW.test(moduleId) ? 1e9 : statSync(moduleId).size);
    const group = ({ project }: TestSpecification) => project.config.sequence.groupOrder;
    return files.toSorted((a, b) => group(a) - group(b) || size(b) - size(a));
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'unit',
          setupFiles: ['test/support/setup.ts'],
          include: ['test/unit/**/*.test.ts'],
          testTimeout: 20_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'host',
          setupFiles: ['test/support/setup.ts'],
          include: ['test/host/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 600_000,
          maxWorkers: HOSTS_AT_ONCE,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'e2e',
          setupFiles: ['test/support/setup.ts'],
          include: ['test/e2e/**/*.test.ts'],
          exclude: ALONE,
          testTimeout: 900_000,
          hookTimeout: 900_000,
          maxWorkers: HOSTS_AT_ONCE,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'e2e-alone',
          setupFiles: ['test/support/setup.ts'],
          include: ALONE,
          testTimeout: 900_000,
          hookTimeout: 900_000,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
