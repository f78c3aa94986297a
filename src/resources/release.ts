import * as z from 'zod';
import { type Change, defineKind } from '#resources/resource';

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
  /** The path of the domain's route that leads here. */
  route: z.string(),
  /** What nginx knows it by, without a slot. */
  upstream: z.string(),
});

const route = z.strictObject({
  domain: z.string(),
  /** What the path of a request begins with; the longest such path counts. */
  path: z.string(),
  service: z.string(),
  port: z.number().int(),
});

const props = z.strictObject({
  app: z.string(),
  /** What a person calls this release, usually the image's tag. */
  tag: z.string(),
  /** The image of each service, as the inventory names it and as it stands in the Compose files. */
  images: z.record(z.string(), z.string()),
  /** What images are, by their name, for which no registry is asked: the laptop vouches for them and has sent them. */
  pins: z.record(z.string(), z.string()).optional(),
  /** The environment file of each service, referred to from the Compose files as `../<service>.env`. */
  environments: z.record(z.string(), z.string()),
  /** The Compose file of the proxied services, once for each slot; they differ in fixed addresses and names. */
  slots: z.strictObject({ blue: z.string(), green: z.string() }),
  /** The Compose file of services without a route, replaced after the flip. */
  workers: z.string().optional(),
  /** The Compose file of the release command, run once in a container of the new image before the slot is started. */
  command: z.string().optional(),
  gates: z.array(gate),
  /** What leads to the app: it goes and comes back with the release. */
  routes: z.array(route),
  /** The addresses of the environment's hosts: where the routes' domains should lead to. */
  hosts: z.array(z.string()).default([]),
  /** Seconds a new slot has to become healthy. */
  healthTimeout: z.number(),
  /** Seconds the old slot may take to finish its requests after the flip. */
  drain: z.number(),
  /** Whether a service behind the proxy cannot run twice, so that slots are swapped while requests wait. */
  swap: z.boolean(),
  /** Seconds that requests wait at most during a swap. */
  hold: z.number(),
  /** Workers that are started before the old ones are told to stop, with their number; all others stop first. */
  overlap: z.record(z.string(), z.number().int()),
  /** Seconds after the flip in which the new slot is compared with the old; zero for none. */
  watch: z.number(),
  /** The shares of all clients, in percent, that the new slot gets and is watched with before it gets them all. */
  canary: z.array(z.number().int()).default([]),
  /** Seconds that the old slot keeps running for a rollback. */
  warm: z.number(),
});

export type ReleaseProps = z.output<typeof props>;

/** What a person should know before what the inventory names replaces what somebody brought live beside it. */
function departure(tag: string, { by, at }: { readonly by: string; readonly at: string }): string {
  return `${tag} was brought live by ${by} on ${at.slice(0, 10)} and is not in the inventory`;
}

/** The live release of an app: brought up beside the one that serves, and switched to when it is healthy. */
export const releaseKind = defineKind({
  kind: 'release',
  summary: 'The live release of an app: started in the idle slot, gated, flipped to, the old one drained and stopped.',
  verb: 'release',
  props,
  id: ({ app }) => app,
  async read(host, wanted) {
    const [{ arePinned, declaredId, readLive }, { refusal }] = await Promise.all([
      import('#release/release'),
      import('#release/paused'),
    ]);
    const live = await readLive(host, wanted.app);
    if (live === undefined) return undefined;
    const { canary, ...rest } = live;
    const id = declaredId(wanted);
    const isTried = canary?.declared === id && arePinned(canary.images, wanted);
    const open = canary === undefined ? undefined : { isTried, refusal: refusal(canary.run) };
    return { ...rest, open, wanted: id, isPinned: arePinned(live.images, wanted) };
  },
  diff(state, { tag, workers }): readonly Change[] {
    if (state === undefined) return [{ summary: `release ${tag}` }];
    // It is on its way already, and whoever paused it says how it goes on.
    if (state.open?.isTried === true) return [];
    if (state.declared !== state.wanted) {
      const summary =
        state.tag === tag ? `release ${tag} again (its configuration changed)` : `release ${state.tag} -> ${tag}`;
      return [
        { summary: state.departed === undefined ? summary : `${summary}; ${departure(state.tag, state.departed)}` },
      ];
    }
    if (!state.isPinned) return [{ summary: `release ${tag} again (its image changed)` }];
    if (state.workers !== (workers === undefined ? undefined : state.release)) return [{ summary: 'workers' }];
    const changes = state.missing.map((name) => ({ summary: `start ${name}` }));
    return state.isRouted ? changes : [...changes, { summary: 'routes' }];
  },
  foresee(state) {
    if (state?.open === undefined || state.open.isTried) return undefined;
    return state.declared === state.wanted && state.isPinned ? undefined : state.open.refusal;
  },
  async apply(host, wanted, state) {
    // Whoever runs `up` may not know of it, and the plan is not shown before.
    if (state?.departed !== undefined && state.declared !== state.wanted) {
      host.warn(`${departure(state.tag, state.departed)}: it is replaced by ${wanted.tag}.`);
    }
    const { bringLive } = await import('#release/release');
    await bringLive(host, wanted);
  },
  footprint: ({ app }) => ({ app }),
  async remove(host, { app }) {
    const { retire } = await import('#release/release');
    await retire(host, app as string);
  },
});
