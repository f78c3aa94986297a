import * as z from 'zod';

/** What travels while images are sent to a host; the numbers are the frames' first byte. */
export const CARGO = {
  /** To the host, first of all: what there is to have, as JSON. */
  offer: 0,
  /** To the laptop: what the host lacks of it, as JSON. Nothing is lacking: nothing follows. */
  wanted: 1,
  /** To the host: one image or build context, as JSON; its blobs follow once the host is ready. */
  item: 2,
  /** To the host: all items have been named. */
  named: 3,
  /** To the laptop: there is room for them. */
  ready: 4,
  /** To the host: the digest of the blob that follows. */
  blob: 5,
  data: 6,
  /** To the host: the blob is whole. */
  blobEnd: 7,
  /** To the host: all has been sent. A connection that ends without it was lost. */
  done: 8,
  /** To the host: what was sent is not to be kept. */
  drop: 9,
  /** To the laptop, last of all: `{}`, or the error, as JSON. */
  ended: 10,
} as const;

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);

/**
 * An image that the laptop vouches for: `pin` is what it is, whatever its name is said to be elsewhere. That of an image
 * is the id it has in the laptop's engine, that of a build the digest of its context and its settings.
 */
const offeredSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('image'),
    reference: z.string(),
    pin: digest,
    architecture: z.string(),
    /** Diff ids, from the lowest up. */
    layers: z.array(digest),
  }),
  z.strictObject({ kind: z.literal('context'), reference: z.string(), pin: digest }),
]);
export type Offered = z.infer<typeof offeredSchema>;

export const offerSchema = z.strictObject({ app: z.string(), images: z.array(offeredSchema) });
export type Offer = z.infer<typeof offerSchema>;

/** What a host lacks: the pins of what it does not have, and the blobs that have to travel for each. */
export const wantedSchema = z.array(z.strictObject({ pin: digest, blobs: z.array(digest) }));
export type Wanted = z.infer<typeof wantedSchema>;

/** What lies ready on a host until a release needs it. */
export const cargoSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('image'),
    pin: digest,
    /** The image's configuration, to the byte. */
    config: z.string(),
    layers: z.array(digest),
    /** Bytes of the layers that travel, before any compression. */
    bytes: z.number(),
  }),
  z.strictObject({
    kind: z.literal('context'),
    pin: digest,
    dockerfile: z.string(),
    target: z.string().optional(),
    /** Build arguments; they may be secrets. */
    args: z.record(z.string(), z.string()),
    bytes: z.number(),
  }),
]);
export type Cargo = z.infer<typeof cargoSchema>;

/** How it ended. */
export const cargoEndSchema = z.strictObject({
  error: z.strictObject({ code: z.string(), message: z.string(), hint: z.string() }).optional(),
});
export type CargoEnd = z.infer<typeof cargoEndSchema>;
