import { definePlaybook } from '#playbook/playbook';
import { aptPackage, logrotateRule } from '#playbook/resources';
import { accessLog } from './places.ts';

/**
 * How long logs are kept. Containers' logs are bounded by Docker, the journal by its own limits, and the logs of
 * operations by the runner that writes them.
 */
export const logs = definePlaybook({
  name: 'logs',
  summary: 'Access logs are rotated every day, compressed and kept as long as declared, without restarting anything.',
  resources({ environment, render }) {
    const { app } = environment;
    const { keep } = environment.logs;
    return [
      aptPackage({ name: 'logrotate' }),
      logrotateRule({
        name: `slipway-${app}`,
        content: render('logrotate/app.hbs', { app, keep, accessLog: accessLog(app) }),
      }),
    ];
  },
});
