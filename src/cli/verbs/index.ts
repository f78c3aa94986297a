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
  release: {
    summary: 'bring another version live without losing a request',
    load: () => import('./release.ts'),
  },
  canary: {
    summary: 'give a paused release to more clients, or to none',
    load: () => import('./canary.ts'),
  },
  rollback: {
    summary: 'go back to a release that served before',
    load: () => import('./rollback.ts'),
  },
  promote: {
    summary: 'release what another environment runs, by digest',
    load: () => import('./promote.ts'),
  },
  releases: {
    summary: 'list the releases that are kept on the hosts',
    load: () => import('./releases.ts'),
  },
  history: {
    summary: 'show who did what, and verify that none of it was changed',
    load: () => import('./history.ts'),
  },
  status: {
    summary: 'show what serves, how its containers are, and who is at work',
    load: () => import('./status.ts'),
  },
  logs: {
    summary: 'show what the containers write, and follow it',
    load: () => import('./logs.ts'),
  },
  exec: {
    summary: 'run a command in a container of what serves',
    load: () => import('./exec.ts'),
  },
  tunnel: {
    summary: 'let a port of this machine lead to a container',
    load: () => import('./tunnel.ts'),
  },
  maintenance: {
    summary: 'show visitors a page instead of the app, or the app again',
    load: () => import('./maintenance.ts'),
  },
  backup: {
    summary: 'copy all data now, show what can be restored, and whether all is well',
    load: () => import('./backup.ts'),
  },
  restore: {
    summary: 'bring data back as it was at a moment, beside what runs or in its place',
    load: () => import('./restore.ts'),
  },
  drill: {
    summary: 'restore the backups on trial, look through them, and boot the app on them',
    load: () => import('./drill.ts'),
  },
  drills: {
    summary: 'show all drills there were, also as a page with plots',
    load: () => import('./drills.ts'),
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
