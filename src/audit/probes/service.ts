import type { Found, HostProbe } from '#audit/audit';

const PROPERTIES = 'Id,LoadState,ActiveState,UnitFileState,FragmentPath,DropInPaths';

/** Whether it works, and whether it will after a reboot, from what systemd says of a unit. */
export function unitValue(says: ReadonlyMap<string, string>): string {
  const active = says.get('ActiveState') ?? '';
  const running = active === 'active' || active === 'reloading' || active === 'activating';
  return `${running ? 'active' : active === 'failed' ? 'failed' : 'inactive'},${boot(says)}`;
}

function boot(says: ReadonlyMap<string, string>): string {
  const load = says.get('LoadState');
  const file = says.get('UnitFileState') ?? '';
  if (load === 'masked' || file.startsWith('masked')) return 'masked';
  if (load === 'not-found') return 'missing';
  if (file.startsWith('enabled')) return 'enabled';
  return file === 'disabled' ? 'disabled' : 'static';
}

/** What `systemctl show` says of several units, a paragraph each, in the order they were asked for. */
export function parseShow(said: string): readonly ReadonlyMap<string, string>[] {
  return said
    .trim()
    .split('\n\n')
    .map((paragraph) => {
      const lines = paragraph.split('\n').filter((line) => line.includes('='));
      return new Map(
        lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const),
      );
    });
}

/** Keys are units of systemd. What masks a unit or adds to it is named; the package's own file is not. */
export const service: HostProbe = {
  name: 'service',
  async ask(host, keys) {
    const { stdout } = await host.must(['systemctl', 'show', '--property', PROPERTIES, '--', ...keys]);
    const units = parseShow(stdout);
    const found = keys.map((key, index): readonly [string, Found] => {
      const says = units[index] ?? new Map<string, string>();
      const files = [...(says.get('DropInPaths') ?? '').split(' ').reverse(), says.get('FragmentPath') ?? ''];
      const masked = says.get('LoadState') === 'masked' ? `/etc/systemd/system/${key}` : undefined;
      const from = masked ?? files.find((path) => path.startsWith('/etc/') || path.startsWith('/run/'));
      return [key, { value: unitValue(says), from }];
    });
    return new Map(found);
  },
};
