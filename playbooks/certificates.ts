import { createHash } from 'node:crypto';
import type { RoutePath } from '#inventory/environment';
import { definePlaybook } from '#playbook/playbook';
import { certificate, certificatePaths, cronEntry, nginxSite, reload } from '#playbook/resources';
import { nginxCapabilities } from './nginx-capabilities.ts';
import { accessLog, flagsFolder, RUNNER } from './places.ts';
import { HASHED_ASSET, upstreamName } from './routing.ts';

const RELOAD = { triggers: [reload('nginx.service')] };

/** A path of a route as nginx compares it: decoded, and quoted where it has to be. */
function locationPath(path: string): string {
  const decoded = /^(?:[^%]|%[0-9A-Fa-f]{2})*$/.test(path) ? decodeURIComponent(path) : path;
  return /^[\w./~-]+$/.test(decoded) ? decoded : `"${decoded.replaceAll(/["\\]/g, '\\$&')}"`;
}

function locations(app: string, paths: readonly RoutePath[]) {
  return paths.map(({ path, service, port }) => ({
    path: locationPath(path),
    upstream: upstreamName(app, service, port),
  }));
}

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
      ...routes.flatMap(({ domain, paths }) => [
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
                locations: locations(app, paths),
                upstreams: [...new Set(locations(app, paths).map(({ upstream }) => upstream))],
                hashedAsset: HASHED_ASSET,
                hasRemainder: !paths.some(({ path }) => path === '/'),
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
