import * as z from 'zod';

/** A command to run in a container of what serves now. */
export const execRequestSchema = z.strictObject({
  app: z.string(),
  /** A service or an accessory. */
  target: z.string(),
  command: z.array(z.string()).min(1),
  /** Who asks, as `user@machine`. */
  by: z.string(),
  environment: z.string(),
  /** Values that must not be written down with the command. */
  secrets: z.array(z.string()),
  /** The terminal of whoever asks; left out where there is none. */
  terminal: z.strictObject({ type: z.string(), columns: z.number().int(), rows: z.number().int() }).optional(),
});
export type ExecRequest = z.infer<typeof execRequestSchema>;

/** The size of the terminal of whoever asks. */
export const resizeSchema = z.strictObject({ columns: z.number().int(), rows: z.number().int() });

/** How a command ended, or why it could not be started. */
export const execEndSchema = z.union([
  z.strictObject({ code: z.number().int() }),
  z.strictObject({ error: z.strictObject({ code: z.string(), message: z.string(), hint: z.string() }) }),
]);
export type ExecEnd = z.infer<typeof execEndSchema>;
