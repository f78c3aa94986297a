import { backupSettingsSchema } from '#protocol/backup';
import { defineKind } from '#resources/resource';

// Loaded only on a host, where something is to be backed up.
const load = () => import('#backup/install');

/** An app's backups: what is copied, where to, and what copies it. */
export const backupKind = defineKind({
  kind: 'backup',
  summary: "An app's backups: their key, their repositories, and what copies all the time.",
  props: backupSettingsSchema,
  id: ({ app }) => app,
  read: async (_host, { app }) => (await load()).readInstalled(app),
  diff: (state, props) => {
    if (state === undefined) return [{ summary: 'create' }];
    if (JSON.stringify(state.settings) !== JSON.stringify(props)) return [{ summary: 'settings' }];
    return state.ready ? [] : [{ summary: 'make ready what an earlier run could not' }];
  },
  apply: async (host, props) => (await load()).install(host, props),
  footprint: ({ app }) => ({ app }),
  leaves: 'its copies, their key and their records stay',
  remove: async (host, { app }) => (await load()).uninstall(host, String(app)),
});
