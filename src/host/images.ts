import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { finished } from 'node:stream/promises';
import { asDeployError, DeployError } from '#core/errors';
import { type Frame, frame, frames } from '#protocol/frames';
import { CARGO, type CargoEnd, cargoSchema, offerSchema } from '#protocol/images';
import { blobFile, dropCargo, refuseTooLarge, wantedOf, writeCargo } from '#release/staging';
import { readFacts } from './facts.ts';
import { createHost } from './machine.ts';

const lost = (): DeployError =>
  new DeployError('interrupted', 'The connection ended before all was sent.', { hint: 'Run the same command again.' });

async function next(incoming: AsyncGenerator<Frame>): Promise<Frame> {
  const { value, done } = await incoming.next();
  if (done === true) throw lost();
  if (value.type === CARGO.drop) {
    throw new DeployError('archive-invalid', 'The sending was given up.', { hint: 'The laptop says why.' });
  }
  return value;
}

const json = ({ content }: Frame): unknown => JSON.parse(content.toString('utf8'));

/** Writes a blob as it comes; it gets its name once it is whole, so that half of one is never taken for it. */
async function receive(digest: string, incoming: AsyncGenerator<Frame>): Promise<void> {
  const part = `${blobFile(digest)}.${randomBytes(4).toString('hex')}.part`;
  const file = createWriteStream(part, { mode: 0o600 });
  file.on('error', () => undefined);
  try {
    for (;;) {
      const { type, content } = await next(incoming);
      if (type === CARGO.blobEnd) break;
      await new Promise<void>((resolve, reject) => {
        file.write(content, (error) => (error ? reject(error) : resolve()));
      });
    }
    file.end();
    await finished(file);
    await rename(part, blobFile(digest));
  } catch (thrown) {
    file.destroy();
    await rm(part, { force: true });
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOSPC') throw thrown;
    throw new DeployError('disk-full', 'The disk of the host is full.', {
      hint: 'Make room: `df -h` and `docker system df` on the host show what is there.',
    });
  }
}

async function take(incoming: AsyncGenerator<Frame>, say: (type: number, content?: string) => void): Promise<void> {
  const offer = offerSchema.parse(json(await next(incoming)));
  const host = createHost(await readFacts(), { say: () => undefined, warn: () => undefined });
  const wanted = await wantedOf(host, offer);
  say(CARGO.wanted, JSON.stringify(wanted));
  if (wanted.length === 0) return;
  const cargos = [];
  for (let it = await next(incoming); it.type !== CARGO.named; it = await next(incoming)) {
    cargos.push(cargoSchema.parse(json(it)));
  }
  await refuseTooLarge(cargos.reduce((sum, { bytes }) => sum + bytes, 0));
  for (const cargo of cargos) await writeCargo(cargo);
  say(CARGO.ready);
  try {
    for (let it = await next(incoming); it.type !== CARGO.done; it = await next(incoming)) {
      if (it.type === CARGO.blob) await receive(it.content.toString('utf8'), incoming);
      else throw new DeployError('internal', `A frame of type ${it.type} makes no sense here.`, { hint: 'Report it.' });
    }
  } catch (thrown) {
    // A line that broke is mended, and what has come whole need not come again; anything else is not to be gone on with.
    if (asDeployError(thrown).code !== 'interrupted') for (const { pin } of cargos) await dropCargo(pin);
    throw thrown;
  }
}

/** Takes images from the laptop and lays them ready; both sides speak in frames over standard input and output. */
export async function images(): Promise<number> {
  process.on('SIGHUP', () => undefined);
  process.stdout.on('error', () => undefined);
  const say = (type: number, content?: string) => {
    if (!process.stdout.destroyed) process.stdout.write(frame(type, content));
  };
  let end: CargoEnd = {};
  try {
    await take(frames(process.stdin), say);
  } catch (thrown) {
    const { code, message, hint } = asDeployError(thrown);
    end = { error: { code, message, hint } };
  }
  say(CARGO.ended, JSON.stringify(end));
  process.stdin.destroy();
  return 0;
}
