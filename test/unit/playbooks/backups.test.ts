import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backups } from '#playbooks/backups';
import { backupSettingsSchema, cronNameOf, scheduleOf } from '#protocol/backup';
import { cronEntryKind } from '#resources/cron-entry';
import { environments, render, someFacts } from './environments.ts';

describe('backups, for every inventory', () => {
  const declared = fc.tuple(environments, someFacts).map(([environment, facts]) => ({
    environment,
    resources: backups.resources({ environment, host: 'web', facts, render }),
  }));

  test('put no secret into the command of a job, nor into its name', () => {
    fc.assert(
      fc.property(declared, ({ environment, resources }) => {
        const crons = resources.filter(({ kind }) => kind === 'cron-entry').map((one) => JSON.stringify(one));
        const secrets = [
          ...Object.values(environment.secrets),
          ...(environment.backups?.repositories ?? []).flatMap(({ credentials }) => Object.values(credentials)),
        ];
        for (const cron of crons) for (const secret of secrets) expect(cron).not.toContain(secret);
      }),
    );
  });

  test('declare settings that the host understands, as secret, after what they need', () => {
    fc.assert(
      fc.property(declared, ({ environment, resources }) => {
        const [settings, ...more] = resources.filter(({ kind }) => kind === 'backup');
        expect(more).toEqual([]);
        if (settings === undefined) {
          expect(resources).toEqual([]);
          return;
        }
        expect(settings.sensitive).toBe(true);
        const { app, sources } = backupSettingsSchema.parse(settings.props);
        expect(app).toBe(environment.app);
        expect(new Set(sources.map(({ name }) => name)).size).toBe(sources.length);
      }),
    );
  });

  test('have cron do each job that is due, in time, to the journal', () => {
    fc.assert(
      fc.property(declared, ({ resources }) => {
        const settings = resources.find(({ kind }) => kind === 'backup');
        if (settings === undefined) return;
        const parsed = backupSettingsSchema.parse(settings.props);
        const crons = resources
          .filter(({ kind }) => kind === 'cron-entry')
          .map(({ props }) => cronEntryKind.props.parse(props));
        expect(crons.map(({ name, schedule }) => [name, schedule])).toEqual(
          scheduleOf(parsed).map((one) => [cronNameOf(parsed.app, one), one.schedule]),
        );
        expect(new Set(crons.map(({ name }) => name)).size).toBe(crons.length);
        for (const { command, user } of crons) {
          expect(user).toBe('root');
          expect(command.slice(0, 3)).toEqual(['systemd-cat', '--identifier=slipway-backup', 'timeout']);
          expect(command.slice(5, 7)).toEqual(['/opt/slipway/current/slipway-host', 'backup']);
        }
      }),
    );
  });
});
