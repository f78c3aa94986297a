import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';

/** Ways in which a release can go wrong, for trying what happens then; `DEMO_MODE` chooses one. */
const MODES = ['crash', 'unhealthy', 'redirect', 'hang', 'errors'] as const;

type Mode = (typeof MODES)[number];

/** What the demo app takes from its environment. */
export interface Settings {
  readonly port: number;
  readonly version: string;
  readonly hostname: string;
  /** The slot the container stands in, where whoever starts it says so in SLOT. */
  readonly slot: string | undefined;
  /** `none` makes the app do without. */
  readonly databaseUrl: string | undefined;
  /** `none` makes the app do without. */
  readonly redisUrl: string | undefined;
  readonly mode: Mode | undefined;
  /** Milliseconds between the start of the process and the first request it takes. */
  readonly boot: number;
}

function builtVersion(): string {
  try {
    return readFileSync('/app/VERSION', 'utf8').trim();
  } catch {
    return 'dev';
  }
}

/** Reads the settings: PORT, VERSION, SLOT, DATABASE_URL, REDIS_URL, DEMO_MODE, DEMO_BOOT_MS. An empty variable counts as none. */
export function readSettings(environment: NodeJS.ProcessEnv = process.env): Settings {
  const value = (name: string): string | undefined => (environment[name] === '' ? undefined : environment[name]);
  const mode = value('DEMO_MODE');
  return {
    port: Number(value('PORT') ?? 3000),
    version: value('VERSION') ?? builtVersion(),
    hostname: hostname(),
    slot: value('SLOT'),
    databaseUrl: value('DATABASE_URL'),
    redisUrl: value('REDIS_URL'),
    mode: MODES.find((known) => known === mode),
    boot: Number(value('DEMO_BOOT_MS') ?? 0),
  };
}
