import { z } from 'zod';
import { defineKind } from '#resources/resource';

const gate = z.strictObject({
  /** The service as declared: `web`. */
  service: z.string(),
  /** The fixed addresses of its replicas in each slot. */
  addresses: z.strictObject({ blue: z.array(z.string()), green: z.array(z.string()) }),
  port: z.number().int(),
  /** Answers 2xx when the container can serve; where there is none, that the port accepts is enough. */
  path: z.string().optional(),
  /** The domain the request names, since many frameworks refuse unknown ones. */
  domain: z.string().optional(),
});

const props = z.strictObject({
  app: z.string(),
  /** What a person calls this release, usually the image's tag. */
  tag: z.string(),
  /** The environment file of all services, referred to from the Compose files as `../environment`. */
  environment: z.string(),
  /** The Compose file of the proxied services, once for each slot; they differ in fixed addresses and names. */
  slots: z.strictObject({ blue: z.string(), green: z.string() }),
  /** The Compose file of services without a route, replaced after the flip. */
  workers: z.string().optional(),
  gates: z.array(gate),
  /** Seconds a new slot has to become healthy. */
  healthTimeout: z.number(),
  /** Seconds the old slot may take to finish its requests after the flip. */
  drain: z.number(),
});

