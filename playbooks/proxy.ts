import { definePlaybook } from '#playbook/playbook';
import { command, directory, nginxSite, reload, systemdUnit, WEBROOT } from '#playbook/resources';
import { webBans } from './harden/bans.ts';
import { nginxCapabilities } from './nginx-capabilities.ts';
import { packages } from './packages.ts';
import { accessLog } from './places.ts';
import { upstreamsOf } from './routing.ts';

const RELOAD = { triggers: [reload('nginx.service')] };

/** nginx in front of the app's slots. What a domain needs a certificate for comes with the certificates. */
export const proxy = definePlaybook({
  name: 'proxy',
  summary: 'nginx with both slots of the app behind it, a JSON access log, and no answer to strangers.',
  resources(context) {
    const { environment, facts, render } = context;
    const { app, routes } = environment;
    const capabilities = { ...nginxCapabilities(facts) };
    const upstreams = upstreamsOf(environment, facts).map(({ name, port, replicas }) => ({
      slots: (['blue', 'green'] as const).map((slot) => ({
        name: `${name}_${slot}`,
        addresses: replicas.map((replica) => `${replica[slot]}:${port}`),
      })),
    }));
    return [
      ...packages(context, ['nginx']),
      directory({ path: WEBROOT }),
      nginxSite(
        {
          name: 'slipway.http',
          files: {
            'conf.d/00-slipway.conf': render('nginx/http.conf.hbs', capabilities),
            'snippets/slipway-tls.conf': render('nginx/tls.conf.hbs', capabilities),
            'snippets/slipway-proxy.conf': render('nginx/proxy.conf.hbs', {}),
          },
          replaces: ['sites-enabled/default'],
        },
        RELOAD,
      ),
      ...(routes.length === 0
        ? []
        : [
            // nginx would make it readable by everybody on the host.
            command({
              name: `access log ${accessLog(app)}`,
              why: `make ${accessLog(app)}`,
              creates: accessLog(app),
              command: ['install', '-m', '0640', '-o', 'www-data', '-g', 'adm', '/dev/null', accessLog(app)],
            }),
            nginxSite(
              {
                name: app,
                files: {
                  [`sites-enabled/${app}.conf`]: render('nginx/app.conf.hbs', {
                    app,
                    upstreams,
                    domains: routes.map(({ domain }) => domain),
                    accessLog: accessLog(app),
                    webroot: WEBROOT,
                  }),
                },
              },
              RELOAD,
            ),
          ]),
      systemdUnit({ name: 'nginx.service', enabled: true, active: 'started' }),
      ...webBans(context),
    ];
  },
});
