import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { frame, frames } from '#protocol/frames';

test('messages arrive as they were sent, however the bytes are cut on the way', async () => {
  const message = fc.record({ type: fc.integer({ min: 0, max: 255 }), content: fc.uint8Array({ maxLength: 300 }) });
  await fc.assert(
    fc.asyncProperty(fc.array(message), fc.integer({ min: 1, max: 97 }), async (sent, size) => {
      const bytes = Buffer.concat(sent.map(({ type, content }) => frame(type, Buffer.from(content))));
      async function* cut() {
        for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
      }
      const arrived: { type: number; content: Uint8Array }[] = [];
      for await (const { type, content } of frames(cut())) arrived.push({ type, content: new Uint8Array(content) });
      expect(arrived).toEqual(sent.map(({ type, content }) => ({ type, content: new Uint8Array(content) })));
    }),
    { numRuns: 50 },
  );
});
