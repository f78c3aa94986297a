import type { VerbEntry } from '#cli/verb';

/** Every verb, in the order of `deploy --help`. A verb is loaded only when it is called. */
export const VERBS: Readonly<Record<string, VerbEntry>> = {
  up: {
    summary: 'make the hosts of an environment what its inventory says',
    load: () => import('./up.ts'),
  },
  plan: {
    summary: 'show exactly what `up` would do, and change nothing',
    load: () => import('./plan.ts'),
  },
  audit: {
    summary: 'prove what protects the hosts, by what is in effect and what answers from outside',
    load: () => import('./audit.ts'),
  },
  attach: {
    summary: 'follow an operation that runs on a host, or read one that ran',
    load: () => import('./attach.ts'),
  },
  trust: {
    summary: "show a host's key fingerprint and pin it",
    load: () => import('./trust.ts'),
  },
  check: {
    summary: 'check an inventory without going to any host',
    load: () => import('./check.ts'),
  },
  explain: {
    summary: 'explain an error code',
    load: () => import('./explain.ts'),
  },
  sandbox: {
    summary: 'throw-away VPSs on this machine, to try things on',
    load: () => import('./sandbox.ts'),
  },
};
