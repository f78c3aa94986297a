import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backups } from '#backup/engine';
import { stateFolder } from '#backup/places';
import { recipientFor } from '#backup/recipient';
import { seal } from '#backup/seal';
import type { Store } from '#backup/store/store';
import { asDeployError } from '#core/errors';
import { type DrillReport, drillReportSchema } from '#protocol/backup';
import { asText, replaceText } from '#release/durable';

function reportsFolder(app: string): string {
  return join(stateFolder(app), 'drills');
}

/** The reports of an app's drills, oldest first; what is no report is left out. */
export async function readReports(app: string): Promise<readonly DrillReport[]> {
  const folder = reportsFolder(app);
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.json')).sort();
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
  return texts.flatMap((text) => {
    try {
      return drillReportSchema.safeParse(JSON.parse(text)).data ?? [];
    } catch {
      return [];
    }
  });
}

async function putReport(store: Store, recipient: string, report: DrillReport, folder: string): Promise<void> {
  const plain = join(folder, `${report.id}.json`);
  await writeFile(plain, asText(report), { mode: 0o600 });
  const sealed = join(folder, 'sealed');
  await seal(recipient, [plain], sealed);
  await store.put(sealed, `drills/${report.source}`);
}

/**
 * Keeps a report on the host, and sealed in every repository, where nobody can write it over. A repository that cannot be
 * reached is warned of: the drill is no less true.
 */
export async function keepReport(backups: Backups, report: DrillReport): Promise<void> {
  const { host, stores } = backups;
  const { app } = backups.settings;
  await replaceText(join(reportsFolder(app), `${report.id}.json`), asText(report));
  await mkdir(stateFolder(app), { recursive: true, mode: 0o700 });
  for (const store of stores) {
    const folder = await mkdtemp(join(stateFolder(app), 'report-'));
    try {
      await putReport(store, await recipientFor(backups, store), report, folder);
    } catch (thrown) {
      host.warn(`The report of the drill is not in the ${store.name} repository: ${asDeployError(thrown).message}`);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
}
