import fc from 'fast-check';
import { expect, test } from 'vitest';
import { chainsOf, missingLayers } from '#release/staging';

const layers = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { minLength: 1 });

test('only what lies above the highest layer that the engine has with all below has to travel', () => {
  const known = new Set(chainsOf(['base', 'app', 'v1']));
  expect(missingLayers(['base', 'app', 'v2'], known)).toEqual(['v2']);
  expect(missingLayers(['base', 'app', 'v1'], known)).toEqual([]);
  expect(missingLayers(['base', 'v1'], known)).toEqual(['v1']);
  // The same layer on another one is another to the engine.
  expect(missingLayers(['other', 'app', 'v1'], known)).toEqual(['other', 'app', 'v1']);
  expect(missingLayers(['a'], new Set())).toEqual(['a']);
});

test('what travels, on what is there, is the whole image', () => {
  fc.assert(
    fc.property(layers, layers, (there, wanted) => {
      const missing = missingLayers(wanted, new Set(chainsOf(there)));
      const kept = wanted.slice(0, wanted.length - missing.length);
      expect([...kept, ...missing]).toEqual(wanted);
      expect(there.slice(0, kept.length)).toEqual(kept);
      expect(there[kept.length]).not.toBe(missing[0] ?? 'none');
    }),
  );
});
