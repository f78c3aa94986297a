import { createRequire } from 'node:module';
import { expect, it } from 'vitest';

const { cache } = createRequire(import.meta.url);

function isLoaded(name: string): boolean {
  return Object.keys(cache).some((path) => path.includes(`/node_modules/${name}/`));
}

// It takes a tenth of a second to evaluate, and a run that changes nothing must not pay for it.
it('loads the ACME client only to ask an authority', async () => {
  await import('#resources/certificate');
  await import('#certificates/read');
  await import('#certificates/certificates');
  expect(isLoaded('acme-client')).toBe(false);
  await import('#certificates/acme');
  expect(isLoaded('acme-client')).toBe(true);
});
