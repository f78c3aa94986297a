import * as z from 'zod';
import { DeployError } from '#core/errors';
import { readTextFile, type TextFile, textFileChanges } from '#resources/file';
import { type Change, defineKind, type Host } from '#resources/resource';
import { startUnit } from '#resources/unit-start';
import { isEnabled, isRunning, readUnit, type UnitState } from '#resources/unit-state';

const DIRECTORY = '/etc/systemd/system';
const ATTRIBUTES = { owner: 'root', group: 'root', mode: '0644' };

const props = z
  .strictObject({
    /** With its type: `nginx.service`, `backup.timer`. */
    name: z
      .string()
      .regex(/^[A-Za-z0-9:_.\\-]+(?:@[A-Za-z0-9:_.\\-]*)?\.(?:service|socket|timer|target|path|mount|slice)$/),
    /** The unit file; without it the unit is one that a package brings. */
    content: z.string().optional(),
    /** What is changed of a unit that a package brings: goes to the drop-in 50-slipway.conf. */
    dropIn: z.string().optional(),
    /** Whether it starts at boot; left as it is where not given. */
    enabled: z.boolean().optional(),
    /** Left as it is where not given. A oneshot service counts as started only with RemainAfterExit. */
    active: z.enum(['started', 'stopped']).optional(),
  })
  .refine((unit) => !unit.name.includes('@.') || (unit.active === undefined && unit.enabled === undefined), {
    message: 'a template cannot be started or enabled itself: declare an instance of it too',
    path: ['name'],
  });

type Props = z.output<typeof props>;

interface UnitFiles {
  readonly unit: UnitState | undefined;
  readonly file: TextFile | undefined;
  readonly dropIn: TextFile | undefined;
}

function paths(name: string): { readonly file: string; readonly dropIn: string } {
  return { file: `${DIRECTORY}/${name}`, dropIn: `${DIRECTORY}/${name}.d/50-slipway.conf` };
}

async function read(host: Host, { name, content }: Props): Promise<UnitFiles | undefined> {
  const { file, dropIn } = paths(name);
  const [unit, ownFile, ownDropIn] = await Promise.all([
    // systemd cannot be asked about a template, only about its instances.
    name.includes('@.') ? undefined : readUnit(host, name),
    content === undefined ? undefined : readTextFile(host, file),
    readTextFile(host, dropIn),
  ]);
  const there = content === undefined ? unit !== undefined && unit.load !== 'not-found' : ownFile !== undefined;
  return there || ownDropIn !== undefined || isMasked(unit) ? { unit, file: ownFile, dropIn: ownDropIn } : undefined;
}

function titled(title: string, changes: readonly Change[]): readonly Change[] {
  return changes.map((change) => ({ ...change, summary: `${title}: ${change.summary}` }));
}

function isMasked(unit: UnitState | undefined): boolean {
  return unit?.load === 'masked' || unit?.file.startsWith('masked') === true;
}

function unmasks(unit: UnitState | undefined, { content, enabled, active }: Props): boolean {
  return isMasked(unit) && (content !== undefined || enabled === true || active === 'started');
}

function differsEnabled(unit: UnitState | undefined, { enabled }: Props): boolean {
  if (enabled === undefined) return false;
  return enabled ? unit === undefined || !isEnabled(unit) : unit?.file === 'enabled';
}

function differsActive(unit: UnitState | undefined, { active }: Props): boolean {
  if (active === undefined) return false;
  const running = unit !== undefined && isRunning(unit);
  return active === 'started' ? !running : running;
}

function diff(state: UnitFiles | undefined, wanted: Props): readonly Change[] {
  const unit = state?.unit;
  const changes: Change[] = [];
  if (wanted.content !== undefined && !(isMasked(unit) && state?.file?.type === 'link')) {
    changes.push(...titled('unit', textFileChanges(state?.file, { content: wanted.content, ...ATTRIBUTES })));
  }
  if (wanted.dropIn !== undefined) {
    changes.push(...titled('drop-in', textFileChanges(state?.dropIn, { content: wanted.dropIn, ...ATTRIBUTES })));
  } else if (state?.dropIn !== undefined) changes.push({ summary: 'drop-in: remove' });
  if (unit?.stale === true && changes.length === 0) changes.push({ summary: 'have systemd read it again' });
  if (unmasks(unit, wanted)) changes.push({ summary: 'unmask' });
  if (differsEnabled(unit, wanted)) changes.push({ summary: wanted.enabled === true ? 'enable' : 'disable' });
  if (differsActive(unit, wanted)) changes.push({ summary: wanted.active === 'started' ? 'start' : 'stop' });
  return changes;
}

async function writeFiles(host: Host, { name, content, dropIn }: Props, state: UnitFiles | undefined): Promise<void> {
  const path = paths(name);
  let changed = state?.unit?.stale === true;
  if (content !== undefined && textFileChanges(state?.file, { content, ...ATTRIBUTES }).length > 0) {
    await host.writeFile(path.file, content, ATTRIBUTES);
    changed = true;
  }
  if (dropIn !== undefined && textFileChanges(state?.dropIn, { content: dropIn, ...ATTRIBUTES }).length > 0) {
    await host.writeFile(path.dropIn, dropIn, ATTRIBUTES);
    changed = true;
  }
  if (dropIn === undefined && state?.dropIn !== undefined) {
    await removeDropIn(host, name);
    changed = true;
  }
  if (changed) await host.must(['systemctl', 'daemon-reload']);
}

async function removeDropIn(host: Host, name: string): Promise<void> {
  const { dropIn } = paths(name);
  await host.removeFile(dropIn);
  // The name is ours: what stood there before was left by a Slipway that this host has forgotten.
  await host.must(['rm', '-f', '--', dropIn]);
  const directory = `${DIRECTORY}/${name}.d`;
  if ((await host.stat(directory))?.type === 'directory') {
    await host.must(['rmdir', '--ignore-fail-on-non-empty', '--', directory]);
  }
}

async function apply(host: Host, wanted: Props, state: UnitFiles | undefined): Promise<void> {
  const { name } = wanted;
  if (unmasks(state?.unit, wanted)) {
    await host.must(['systemctl', 'unmask', '--', name]);
    await host.must(['systemctl', 'unmask', '--runtime', '--', name]);
  }
  await writeFiles(host, wanted, state);
  if (wanted.content === undefined && state === undefined && (wanted.enabled === true || wanted.active === 'started')) {
    throw new DeployError('unit-failed', `The host has no unit ${name}.`, {
      hint: 'Declare the package that brings it before the unit.',
    });
  }
  // What an earlier unit of this name left, links and processes, shows only now that there is a unit again.
  const isNew = state?.unit?.load !== 'loaded';
  if (differsEnabled(state?.unit, wanted) || (isNew && wanted.enabled === false)) {
    await host.must(['systemctl', wanted.enabled === true ? 'enable' : 'disable', '--', name]);
  }
  const differs = differsActive(state?.unit, wanted);
  if (differs && wanted.active === 'started') await startUnit(host, name);
  else if (differs || (isNew && wanted.active === 'stopped')) {
    await host.must(['systemctl', 'stop', '--', name], { timeout: 180 });
  }
}

async function remove(host: Host, footprint: Record<string, unknown>): Promise<void> {
  const name = footprint['name'] as string;
  const { file, dropIn } = paths(name);
  const own = footprint['own'] === true && (await host.stat(file)) !== undefined;
  if (own) {
    if (!name.includes('@.')) await host.run(['systemctl', 'disable', '--now', '--', name], { timeout: 180 });
    await host.removeFile(file);
  }
  const dropped = (await host.stat(dropIn)) !== undefined;
  if (dropped) await removeDropIn(host, name);
  if (own || dropped) await host.must(['systemctl', 'daemon-reload']);
  if (own && !name.includes('@.')) await host.run(['systemctl', 'reset-failed', '--', name]);
}

/** A unit of systemd: its file or what is changed of it, whether it starts at boot, and whether it runs now. */
export const systemdUnitKind = defineKind({
  kind: 'systemd-unit',
  summary: 'A unit of systemd: its file or what is changed of it, whether it starts at boot, and whether it runs now.',
  props,
  id: ({ name }) => name,
  read,
  diff,
  apply,
  footprint: ({ name, content }) => ({ name, own: content !== undefined }),
  remove,
  preexisting: 'remove',
});
