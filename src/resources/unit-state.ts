import type { Host } from '#resources/resource';

/** What systemd says of a unit (systemctl(1), org.freedesktop.systemd1(5)). */
export interface UnitState {
  /** `loaded`, `not-found`, `masked`, `bad-setting`, … */
  readonly load: string;
  /** `active`, `inactive`, `failed`, `activating`, … */
  readonly active: string;
  readonly sub: string;
  /** `enabled`, `disabled`, `static`, `masked`, …; empty where there is no unit file. */
  readonly file: string;
  /** Its files changed since systemd read them. */
  readonly stale: boolean;
}

const PROPERTIES = 'LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload';

interface Batch {
  readonly units: Set<string>;
  readonly answer: Promise<ReadonlyMap<string, UnitState>>;
}

const batches = new WeakMap<Host, Batch>();

/** The answers of one `systemctl show`, in the order the units were asked for. */
export function parseUnits(units: readonly string[], said: string): ReadonlyMap<string, UnitState> {
  const states = new Map<string, UnitState>();
  for (const [index, paragraph] of said.trim().split('\n\n').entries()) {
    const unit = units[index];
    const values = new Map(paragraph.split('\n').map((line) => line.split('=', 2) as [string, string | undefined]));
    const value = (key: string) => values.get(key) ?? '';
    if (unit === undefined || !values.has('LoadState')) continue;
    states.set(unit, {
      load: value('LoadState'),
      active: value('ActiveState'),
      sub: value('SubState'),
      file: value('UnitFileState'),
      stale: value('NeedDaemonReload') === 'yes',
    });
  }
  return states;
}

async function show(host: Host, units: ReadonlySet<string>): Promise<ReadonlyMap<string, UnitState>> {
  const names = [...units];
  const output = await host.run(['systemctl', 'show', '--property', PROPERTIES, '--', ...names]);
  return output.exitCode === 0 ? parseUnits(names, output.stdout) : new Map();
}

/**
 * The state of a unit; undefined where systemd does not run. All units asked for at once are one call of systemctl,
 * which costs some 10 ms however many they are: ask before anything else is awaited.
 */
export function readUnit(host: Host, unit: string): Promise<UnitState | undefined> {
  return host.once(`unit ${unit}`, async () => {
    let batch = batches.get(host);
    if (batch === undefined) {
      const units = new Set<string>();
      const answer = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
        batches.delete(host);
        return show(host, units);
      });
      batch = { units, answer };
      batches.set(host, batch);
    }
    batch.units.add(unit);
    return (await batch.answer).get(unit);
  });
}

/** Whether a unit does its work, or is on its way there. */
export function isRunning({ active, sub }: UnitState): boolean {
  return active === 'active' || active === 'reloading' || (active === 'activating' && sub !== 'auto-restart');
}

/** Whether a unit starts by itself; one that cannot be enabled is started by others and counts. */
export function isEnabled({ file }: UnitState): boolean {
  return ['enabled', 'static', 'generated', 'alias', 'transient'].includes(file);
}
