import fc from 'fast-check';
import { expect, test } from 'vitest';
import { worthKeeping } from '#backup/records';
import { BACKUP_JOBS, type BackupRecord, repositoryName } from '#protocol/backup';

const NOW = Date.UTC(2026, 5, 1);
const DAY = 86_400_000;

const records: fc.Arbitrary<readonly BackupRecord[]> = fc
  .array(
    fc.record({
      days: fc.integer({ min: 0, max: 400 }),
      job: fc.constantFrom(...BACKUP_JOBS.slice(0, 3)),
      repository: fc.constantFrom(...repositoryName.options),
      result: fc.constantFrom('done' as const, 'failed' as const),
    }),
    { maxLength: 120 },
  )
  .map((all) =>
    all
      .sort((one, other) => other.days - one.days)
      .map(({ days, ...rest }) => ({ at: new Date(NOW - days * DAY).toISOString(), duration: 1, ...rest })),
  );

test('what is recent stays, and the newest of each kind, in their order', () => {
  fc.assert(
    fc.property(records, (all) => {
      const kept = worthKeeping(all, NOW);
      expect(kept).toEqual(all.filter((record) => kept.includes(record)));
      for (const record of all) {
        const alike = all.filter(({ job, repository }) => job === record.job && repository === record.repository);
        const isRecent = NOW - Date.parse(record.at) < 100 * DAY;
        expect(kept.includes(record)).toBe(isRecent || alike.slice(-10).includes(record));
      }
    }),
  );
});
