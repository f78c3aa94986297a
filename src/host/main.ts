import { asDeployError } from '#core/errors';

declare const SLIPWAY_VERSION: string;

/** The verbs of the runner. People never type them: the laptop, cron and fresh logins do. */
const VERBS: Readonly<Record<string, (args: readonly string[]) => Promise<number>>> = {
  session: async () => (await import('#host/session')).session(),
  prove: async ([guard = '', family = '', through = 'fresh']) => {
    await (await import('#host/guard-proof')).markProven(guard, family, through);
    return 0;
  },
  backup: async (args) => (await import('#host/backup')).backup(args),
  exec: async () => (await import('#host/exec')).exec(),
  images: async () => (await import('#host/images')).images(),
  pipe: async (args) => (await import('#host/pipe')).pipe(args),
  renew: async (args) => (await import('#host/renew')).renew(args),
  settle: async () => (await import('#host/settle')).settle(),
  version: async () => {
    console.log(SLIPWAY_VERSION);
    return 0;
  },
};

// What a person or an image has set for these programs must not decide which database is copied, or where to.
for (const name of Object.keys(process.env)) {
  if (/^(?:PG|RESTIC_|RCLONE_|AWS_)/.test(name)) delete process.env[name];
}

const [verb = '', ...args] = process.argv.slice(2);
const chosen = VERBS[verb];
if (chosen === undefined) {
  console.error(`slipway-host knows ${Object.keys(VERBS).join(', ')}.`);
  process.exitCode = 2;
} else {
  try {
    process.exitCode = await chosen(args);
  } catch (thrown) {
    const error = asDeployError(thrown);
    console.error(`${error.message}\n${error.hint}`);
    process.exitCode = error.exitCode;
  }
}
