import { ERROR_CODES, type ErrorCode } from '#core/error-codes';
import { DeployError } from '#core/errors';
import { frame, frames } from '#protocol/frames';
import { CARGO, cargoEndSchema, type Wanted, wantedSchema } from '#protocol/images';
import type { Session } from '#ssh/session';
import type { Parcel } from './parcel.ts';

/** How far a sending has come, in bytes before any compression. */
export interface Progress {
  readonly sent: number;
  readonly total: number;
  /** How many layers and build contexts travel. */
  readonly blobs: number;
  readonly references: readonly string[];
}

type Answer = (type: number) => Promise<Buffer>;

/** What the host says next; rejects with what it could not do, or with why it says nothing more. */
function answersOf(session: Session, host: string): Answer {
  const incoming = frames(session.bytes());
  return async (type) => {
    const { value, done } = await incoming.next();
    if (done === true) {
      await session.closed;
      throw new DeployError('operation-died', `The runner ended without a last word: ${session.stderr.trim()}`, {
        hint: 'Run the same command again; it goes on where this one stopped.',
        host,
      });
    }
    if (value.type === CARGO.ended) {
      const { error } = cargoEndSchema.parse(JSON.parse(value.content.toString('utf8')));
      if (error !== undefined) {
        const code = error.code in ERROR_CODES ? (error.code as ErrorCode) : 'internal';
        throw new DeployError(code, error.message, { hint: error.hint, host });
      }
    }
    if (value.type !== type) throw new Error(`${host} answered with a frame of type ${value.type}`);
    return value.content;
  };
}

async function sendBlobs(session: Session, lacking: Lacking, tell: (progress: Progress) => void): Promise<void> {
  const { blobs, references } = lacking;
  const sizes = await Promise.all([...blobs].map(([blob, parcel]) => parcel.size(blob)));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  let sent = 0;
  const seen = (bytes: number) => {
    sent += bytes;
    tell({ sent, total, blobs: blobs.size, references });
  };
  if (blobs.size > 0) seen(0);
  for (const [blob, parcel] of blobs) {
    await session.write(frame(CARGO.blob, blob));
    for await (const chunk of await parcel.read(blob, seen)) await session.write(frame(CARGO.data, chunk));
    await session.write(frame(CARGO.blobEnd));
  }
  await session.write(frame(CARGO.done));
}

interface Lacking {
  /** Every blob once, with a parcel that has it. */
  readonly blobs: ReadonlyMap<string, Parcel>;
  readonly references: readonly string[];
}

async function nameItems(session: Session, parcels: readonly Parcel[], wanted: Wanted): Promise<Lacking> {
  const blobs = new Map<string, Parcel>();
  const references: string[] = [];
  for (const { pin, blobs: own } of wanted) {
    const parcel = parcels.find(({ offered }) => offered.pin === pin);
    if (parcel === undefined) continue;
    references.push(parcel.offered.reference);
    // What two images have in common is counted, and sent, once.
    const fresh = own.filter((blob) => !blobs.has(blob));
    for (const blob of fresh) blobs.set(blob, parcel);
    await session.write(frame(CARGO.item, JSON.stringify(await parcel.cargo(fresh))));
  }
  await session.write(frame(CARGO.named));
  return { blobs, references };
}

/** Offers parcels to a host over a session with its runner, and sends what it lacks. */
export async function sendParcels(
  session: Session,
  host: string,
  app: string,
  parcels: readonly Parcel[],
  tell: (progress: Progress) => void,
): Promise<void> {
  const answer = answersOf(session, host);
  const offer = { app, images: parcels.map(({ offered }) => offered) };
  await session.write(frame(CARGO.offer, JSON.stringify(offer)));
  const wanted = wantedSchema.parse(JSON.parse((await answer(CARGO.wanted)).toString('utf8')));
  if (wanted.length > 0) {
    const lacking = await nameItems(session, parcels, wanted);
    await answer(CARGO.ready);
    const end = answer(CARGO.ended);
    end.catch(() => undefined);
    try {
      // A host that gives up says why, while we would only hear that it hears no more.
      await Promise.race([sendBlobs(session, lacking, tell), end]);
    } catch (error) {
      // What this machine could not read is not to wait there; where the connection broke, nobody hears it.
      await session.write(frame(CARGO.drop)).catch(() => undefined);
      session.end();
      if (error instanceof DeployError) await end.catch(() => undefined);
      else await end;
      throw error;
    }
    await end;
  } else await answer(CARGO.ended);
  session.end();
}
