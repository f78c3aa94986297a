import { createHash } from 'node:crypto';
import { definePlaybook } from '#playbook/playbook';
import {
  certificate,
  certificatePaths,
  cronEntry,
  generationVariable,
  nginxSite,
  reload,
  routeVariable,
} from '#playbook/resources';
import { nginxCapabilities } from './nginx-capabilities.ts';
import { accessLog, flagsFolder, RUNNER } from './places.ts';
import { HASHED_ASSET } from './routing.ts';

const RELOAD = { triggers: [reload('nginx.service')] };

/** Twice a day, at a time of the host's own, so that not all hosts ask the authority in the same minute. */
function renewalSchedule(hostname: string): string {
  const minutes = createHash('sha256').update(hostname).digest().readUInt16BE() % 720;
  const hour = Math.floor(minutes / 60);
  return `${minutes % 60} ${hour},${hour + 12} * * *`;
}

/** A certificate for each domain, the site that uses it, and the renewal on the host itself. */
export const certificates = definePlaybook({
  name: 'certificates',
  summary: 'A certificate for each domain, its site on https, and a renewal that needs nobody.',
  resources({ environment, facts, render }) {
    const { app, routes, proxy } = environment;
    if (routes.length === 0) return [];
    const { email, directory, ca, renewBefore, preflight } = environment.certificates;
    const { http2Directive } = nginxCapabilities(facts);
    return [
      ...routes.flatMap(({ domain }) => [
        certificate(
          {
            domains: [domain],
            directory,
            preflight,
            ...(email === undefined ? {} : { email }),
            ...(ca === undefined ? {} : { ca }),
            ...(renewBefore === undefined ? {} : { renewBefore }),
          },
          RELOAD,
        ),
        nginxSite(
          {
            name: domain,
            files: {
              [`sites-enabled/${domain}.conf`]: render('nginx/domain.conf.hbs', {
                app,
                domain,
                http2Directive,
                certificate: certificatePaths(domain),
                accessLog: accessLog(app),
                clientMaxBodySize: proxy.clientMaxBodySize,
                rateLimit: proxy.rateLimit,
                flags: flagsFolder(app),
                route: routeVariable(app),
                generation: generationVariable(app),
                hashedAsset: HASHED_ASSET,
              }),
            },
          },
          RELOAD,
        ),
      ]),
      cronEntry({
        name: 'slipway-renew',
        schedule: renewalSchedule(facts.hostname),
        command: ['systemd-cat', '--identifier=slipway-renew', RUNNER, 'renew'],
      }),
    ];
  },
});
