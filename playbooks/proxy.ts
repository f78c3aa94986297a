import { definePlaybook } from '#playbook/playbook';
import { command, directory, nginxLimits, nginxSite, reload, systemdUnit, WEBROOT } from '#playbook/resources';
import { webBans } from './harden/bans.ts';
import { maintenancePage, maintenanceSnippet } from './maintenance.ts';
import { nginxCapabilities } from './nginx-capabilities.ts';
import { packages } from './packages.ts';
import { accessLog } from './places.ts';

/** As its package brings it, an nginx that was killed stays away. */
const RESTART = '[Service]\nRestart=on-failure\nRestartSec=1s\n';

/**
 * A WebSocket or a held request takes two connections, and Debian's limit of 768 has a worker full at 384. The table of
 * this many takes 7 MB of each worker.
 */
const LIMITS = { connections: 16_384 };

const RELOAD = { triggers: [reload('nginx.service')] };

/** What a client may be numbered with during a canary; the last takes what rounding leaves over. */
const NUMBERS = { numbers: Array.from({ length: 99 }, (_, number) => number), lastNumber: 99 };

/** nginx in front of the app's slots. What a domain needs a certificate for comes with the certificates. */
export const proxy = definePlaybook({
  name: 'proxy',
  summary: 'nginx with both slots of the app behind it, a JSON access log, and no answer to strangers.',
  resources(context) {
    const { environment, facts, render } = context;
    const { app, routes } = environment;
    const capabilities = { ...nginxCapabilities(facts) };
    return [
      ...packages(context, ['nginx']),
      directory({ path: WEBROOT }),
      nginxSite(
        {
          name: 'slipway.http',
          files: {
            'conf.d/00-slipway.conf': render('nginx/http.conf.hbs', { ...capabilities, ...NUMBERS }),
            'snippets/slipway-tls.conf': render('nginx/tls.conf.hbs', capabilities),
            'snippets/slipway-proxy.conf': render('nginx/proxy.conf.hbs', {}),
          },
          replaces: ['sites-enabled/default'],
        },
        RELOAD,
      ),
      nginxLimits(LIMITS, RELOAD),
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
            maintenancePage(context),
            nginxSite(
              {
                name: app,
                files: {
                  [`sites-enabled/${app}.conf`]: render('nginx/app.conf.hbs', {
                    app,
                    domains: routes.map(({ domain }) => domain),
                    accessLog: accessLog(app),
                    webroot: WEBROOT,
                  }),
                  ...maintenanceSnippet(context),
                },
              },
              RELOAD,
            ),
          ]),
      systemdUnit({ name: 'nginx.service', dropIn: RESTART, enabled: true, active: 'started' }),
      ...webBans(context),
    ];
  },
});
