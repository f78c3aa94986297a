import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';

/** Ways in which a release can go wrong, for trying what happens then; `DEMO_MODE` chooses one. */
const MODES = ['crash', 'unhealthy', 'redirect', 'loop', 'hang', 'errors', 'slow', 'killed'] as const;

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
  /** Milliseconds of the process's life before the mode begins. */
  readonly modeAfter: number;
  /** The address it listens on; every one where left out. */
  readonly address: string | undefined;
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

/** Reads the settings: PORT, VERSION, SLOT, DATABASE_URL, REDIS_URL, HOST, DEMO_MODE, DEMO_MODE_AFTER_MS, DEMO_BOOT_MS. An empty variable counts as none. */
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
    modeAfter: Number(value('DEMO_MODE_AFTER_MS') ?? 0),
    address: value('HOST'),
    boot: Number(value('DEMO_BOOT_MS') ?? 0),
  };
}

/** How the app misbehaves just now. */
export function modeOf({ mode, modeAfter }: Settings): Mode | undefined {
  return process.uptime() * 1000 >= modeAfter ? mode : undefined;
}
