import type { PlaybookContext } from '#playbook/playbook';
import { file } from '#playbook/resources';
import { flagsFolder, maintenanceFolder } from './places.ts';

/** The page that is shown instead of the app; nginx's workers read it. */
export function maintenancePage({ environment, render }: PlaybookContext) {
  const { app, maintenance } = environment;
  const content = maintenance.page ?? render('nginx/maintenance.html.hbs', { app });
  return file({ path: `${maintenanceFolder(app)}/maintenance.html`, content });
}

/** What the site of each domain includes to ask for maintenance, and who is known to get through. */
export function maintenanceSnippet({ environment, render }: PlaybookContext): Readonly<Record<string, string>> {
  const { app, maintenance, services } = environment;
  const paths = Object.values(services).flatMap(({ healthPath }) => healthPath ?? []);
  return {
    [`snippets/slipway-${app}-maintenance.conf`]: render('nginx/maintenance.conf.hbs', {
      app,
      flags: flagsFolder(app),
      folder: maintenanceFolder(app),
      // A path of a health check is compared as nginx decodes it; one that would have to be quoted is left out.
      healthPaths: [...new Set(paths)].filter((path) => /^[\w./~-]+$/.test(path)),
      pass: maintenance.allow.length === 0 ? undefined : passVariable(app),
    }),
    ...(maintenance.allow.length === 0
      ? {}
      : {
          [`conf.d/slipway-${app}-maintenance.conf`]: render('nginx/maintenance-pass.conf.hbs', {
            app,
            pass: passVariable(app),
            allow: maintenance.allow,
          }),
        }),
  };
}

/** Names in nginx know no dash, and those of apps no underscore. */
function passVariable(app: string): string {
  return `slipway_pass_${app.replaceAll('-', '_')}`;
}
