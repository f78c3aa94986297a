import { z } from 'zod';
import { openStore } from '#certificates/store';
import type { CertificateState } from '#certificates/stored';
import { reasons } from '#certificates/stored';
import { defineKind } from '#resources/resource';

const LABEL = '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?';
const NAME = new RegExp(`^(${LABEL}\\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`);

const domain = z
  .string()
  .toLowerCase()
  .max(253)
  .refine((name) => !name.startsWith('*.'), 'a wildcard cannot be proven over HTTP: list the names one by one')
  .refine(
    (name) => name.startsWith('*.') || NAME.test(name),
    'is not a domain name (in ASCII: xn--… where it has others)',
  );

const props = z.strictObject({
  domains: z
    .array(domain)
    .min(1)
    .max(100)
    .refine((names) => new Set(names).size === names.length, 'names a domain twice'),
  email: z.email().optional(),
  directory: z.url({ protocol: /^https$/ }),
  ca: z.string().includes('-----BEGIN CERTIFICATE-----').optional(),
  renewAfterFraction: z.number().min(0.1).max(0.95).optional(),
  preflight: z.enum(['require', 'warn', 'skip']).default('require'),
});

/**
 * A certificate for these names, proven over HTTP on port 80. A site that serves WEBROOT there comes before it, the
 * sites that use certificatePaths after it; a reload of nginx is its trigger.
 */
export const certificateKind = defineKind({
  kind: 'certificate',
  summary: 'A certificate from an ACME authority, kept and renewed on the host.',
  props,
  id: ({ domains }) => domains[0] ?? '',
  async read(_host, { domains }): Promise<CertificateState | undefined> {
    const store = openStore();
    const name = domains[0] ?? '';
    const certificate = await store.read(name);
    if (certificate === undefined) return undefined;
    return { certificate, failure: await store.readFailure(name), now: Date.now() };
  },
  diff: (state, wanted) =>
    reasons(state ?? { certificate: undefined, failure: undefined, now: 0 }, wanted).map(({ summary }) => ({
      summary,
    })),
  async apply(host, wanted) {
    const { ensureCertificate } = await import('#certificates/certificates');
    await ensureCertificate(host, wanted);
  },
  footprint: ({ domains }) => ({ domain: domains[0] ?? '', names: domains }),
  remove: (_host, { domain }) => openStore().remove(domain as string),
});
