import { sourceNameOf } from '#inventory/check-backups';
import type { Accessory, Environment, Repository } from '#inventory/environment';
import { definePlaybook, type PlaybookContext } from '#playbook/playbook';
import { backup, cronEntry, type Declared, systemdUnit } from '#playbook/resources';
import {
  type BackupJob,
  type BackupSettings,
  cronNameOf,
  type Scheduled,
  type Source,
  scheduleOf,
} from '#protocol/backup';
import { projectOfAccessory } from './accessories.ts';
import { volumeName } from './compose-text.ts';
import { packages } from './packages.ts';
import { RUNNER } from './places.ts';

/** Time after which cron's own run of a job is ended, as timeout(1) reads it. */
const LIMITS: Readonly<Record<BackupJob, string>> = {
  watch: '10m',
  full: '12h',
  incremental: '6h',
  dump: '12h',
  copy: '6h',
  prune: '6h',
  check: '6h',
  drill: '12h',
};

function sourceOf(app: string, accessory: Accessory): readonly Source[] {
  const { name, image, type } = accessory;
  const container = projectOfAccessory(app, name);
  switch (type) {
    case 'postgres': {
      const { storage, database, user, backup: declared } = accessory;
      if (declared === undefined) return [];
      const { full, incremental, dump, synchronous } = declared;
      return [
        {
          ...{ type, name, container, image, storage, database, user, full, synchronous },
          ...(incremental === undefined ? {} : { incremental }),
          ...(dump === undefined ? {} : { dump }),
        },
      ];
    }
    case 'redis': {
      const { storage, aof, password, backup: declared } = accessory;
      if (declared === undefined) return [];
      const { schedule } = declared;
      return [
        { type, name, container, image, storage, aof, schedule, ...(password === undefined ? {} : { password }) },
      ];
    }
    case 'container': {
      if (accessory.backup === undefined) return [];
      return [{ name, container, image, ...accessory.backup }];
    }
  }
}

function volumesOf({ app }: Environment, volumes: NonNullable<Environment['backups']>['volumes']): readonly Source[] {
  return Object.entries(volumes).map(([source, { schedule, containers, sqlite }]) => ({
    type: 'volume',
    name: sourceNameOf(source),
    volume: source.startsWith('/') ? source : volumeName(app, source),
    sqlite: [...sqlite],
    containers,
    schedule,
  }));
}

function repositoryOf({
  name,
  url,
  ca,
  credentials,
  hostKey,
  identity,
}: Repository): BackupSettings['repositories'][number] {
  return {
    name,
    url,
    credentials: { ...credentials },
    ...(ca === undefined ? {} : { ca }),
    ...(hostKey === undefined ? {} : { hostKey }),
    ...(identity === undefined ? {} : { identity }),
  };
}

function settingsOf({ environment, host }: PlaybookContext): BackupSettings | undefined {
  const { app, name, backups, accessories } = environment;
  if (backups === undefined) return undefined;
  const { repositories, keep, atLeast, ping, volumes, drill } = backups;
  const assertions = Object.entries(drill.assert).map(([source, sql]): [string, string[]] => [source, [...sql]]);
  return {
    app,
    environment: name,
    host,
    repositories: repositories.map(repositoryOf),
    sources: [
      ...Object.values(accessories).flatMap((accessory) => sourceOf(app, accessory)),
      ...volumesOf(environment, volumes),
    ],
    keep,
    atLeast,
    ...(ping === undefined ? {} : { ping }),
    drill: {
      assert: Object.fromEntries(assertions),
      ...(drill.schedule === undefined ? {} : { schedule: drill.schedule }),
    },
  };
}

/** cron's own line of a job: ended in time, told to the journal. The runner takes turns and spreads by itself. */
function cronOf(app: string, scheduled: Scheduled): Declared {
  const { job, source, schedule } = scheduled;
  const words = source === undefined ? [job, app] : [job, app, source];
  return cronEntry({
    name: cronNameOf(app, scheduled),
    schedule,
    command: [
      ...['systemd-cat', '--identifier=slipway-backup'],
      ...['timeout', '--kill-after=1m', LIMITS[job]],
      ...[RUNNER, 'backup', ...words],
    ],
  });
}

/** Copies of all data, on the host and off it, made by cron, and restored on trial by cron. */
export const backups = definePlaybook({
  name: 'backups',
  summary: 'Copies of all data, here and elsewhere, every moment of it, and a restoration on trial by cron.',
  resources(context) {
    const settings = settingsOf(context);
    if (settings === undefined || settings.sources.length === 0) return [];
    return [
      ...packages(context, ['age', 'cron', 'rclone', 'restic', 'zstd']),
      systemdUnit({ name: 'cron.service', enabled: true, active: 'started' }),
      backup(settings, { sensitive: true }),
      ...scheduleOf(settings).map((scheduled) => cronOf(settings.app, scheduled)),
    ];
  },
});
