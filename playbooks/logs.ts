import { definePlaybook } from '#playbook/playbook';
import { logrotateRule } from '#playbook/resources';
import { packages } from './packages.ts';
import { accessLog } from './places.ts';

/**
 * How long logs are kept. Containers' logs are bounded by Docker, the journal by its own limits, and the logs of
 * operations by the runner that writes them.
 */
export const logs = definePlaybook({
  name: 'logs',
  summary: 'Access logs are rotated every day, compressed and kept as long as declared, without restarting anything.',
  resources(context) {
    const { environment, render } = context;
    const { app } = environment;
    const { keep } = environment.logs;
    return [
      ...packages(context, ['logrotate']),
      logrotateRule({
        name: `slipway-${app}`,
        content: render('logrotate/app.hbs', { app, keep, accessLog: accessLog(app) }),
      }),
    ];
  },
});
