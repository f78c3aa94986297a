import * as z from 'zod';
import { reasons } from '#resources/certificate-terms';
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
  renewAfterFraction: z.number().positive().max(0.95).optional(),
  renewBefore: z.number().positive().optional(),
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
  async read(_host, wanted) {
    const { readCertificate } = await import('#certificates/read');
    return readCertificate(wanted);
  },
  diff: (state, wanted) => reasons(state, wanted).map(({ summary }) => ({ summary })),
  async apply(host, wanted) {
    const { ensureCertificate } = await import('#certificates/certificates');
    await ensureCertificate(host, wanted);
  },
  footprint: ({ domains }) => ({ domain: domains[0] ?? '', names: domains }),
  async remove(_host, { domain }) {
    const { openStore } = await import('#certificates/store');
    await openStore().remove(domain as string);
  },
});
