import { createHash } from 'node:crypto';
import * as z from 'zod';
import { DeployError } from '#core/errors';
import { lastLines } from '#core/run';
import { readTextFile, type TextFile, textFileChanges } from '#resources/file';
import { type Change, defineKind, type Host } from '#resources/resource';
import { inTrialFolder } from '#resources/trial';

const props = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9_]{0,30}$/),
  family: z.enum(['inet', 'ip', 'ip6', 'netdev', 'bridge']).default('inet'),
  /** What stands between the table's braces, in nft(8)'s own syntax: sets and chains. */
  rules: z.string(),
});
type Props = z.output<typeof props>;
type Table = Pick<Props, 'name' | 'family'>;

interface State {
  readonly rules: TextFile | undefined;
  readonly unit: TextFile | undefined;
  /** Whether systemd loads it at boot. */
  readonly boot: boolean;
  /** Digest of the table as the kernel has it; undefined where it has none. */
  readonly loaded: string | undefined;
  /** The digest after our last loading. */
  readonly recorded: string | undefined;
}

const PRIVATE = { mode: '0600', owner: 'root', group: 'root' };
const PUBLIC = { mode: '0644', owner: 'root', group: 'root' };

const unitName = ({ name }: Table): string => `slipway-nft-${name}.service`;
const places = (table: Table) => ({
  rules: `/etc/slipway/nftables/${table.name}.nft`,
  unit: `/etc/systemd/system/${unitName(table)}`,
  boot: `/etc/systemd/system/sysinit.target.wants/${unitName(table)}`,
  recorded: `/var/lib/slipway/nftables/${table.name}.loaded`,
});

/** The file nft loads as one transaction: the table is there at every moment, old or new. */
function renderRules({ name, family, rules }: Props): string {
  const body = rules
    .trim()
    .split('\n')
    .map((line) => (line === '' ? '' : `  ${line}`))
    .join('\n');
  return `table ${family} ${name}\ndelete table ${family} ${name}\ntable ${family} ${name} {\n${body}\n}\n`;
}

function renderUnit(table: Table): string {
  const { rules } = places(table);
  return `[Unit]
Description=Packet filter table ${table.name} of Slipway
DefaultDependencies=no
After=local-fs.target systemd-modules-load.service nftables.service slipway-undo.service
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target
# The guard may have undone the table at this very boot.
ConditionPathExists=${rules}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f ${rules}
ExecReload=/usr/sbin/nft -f ${rules}
ExecStop=-/usr/sbin/nft delete table ${table.family} ${table.name}

[Install]
WantedBy=sysinit.target
`;
}

async function loadedDigest(host: Host, { family, name }: Table): Promise<string | undefined> {
  const output = await host.run(['nft', '--stateless', 'list', 'table', family, name]);
  return output.exitCode === 0 ? createHash('sha256').update(output.stdout).digest('hex') : undefined;
}

/** Whether the kernel has a table as it was last loaded from our file. */
export async function tableInKernel(host: Host, table: Table): Promise<'as-loaded' | 'changed' | 'missing'> {
  const [loaded, recorded] = await Promise.all([loadedDigest(host, table), host.readFile(places(table).recorded)]);
  if (loaded === undefined) return 'missing';
  return loaded === recorded?.trim() ? 'as-loaded' : 'changed';
}

async function read(host: Host, table: Props): Promise<State | undefined> {
  const at = places(table);
  const [rules, unit, boot, recorded, loaded] = await Promise.all([
    readTextFile(host, at.rules),
    readTextFile(host, at.unit),
    host.stat(at.boot),
    host.readFile(at.recorded),
    loadedDigest(host, table),
  ]);
  if (rules === undefined && unit === undefined && loaded === undefined) return undefined;
  return { rules, unit, boot: boot !== undefined, loaded, recorded: recorded?.trim() };
}

function diff(state: State | undefined, wanted: Props): readonly Change[] {
  const changes = textFileChanges(state?.rules, { content: renderRules(wanted), ...PRIVATE });
  if (state === undefined) return changes;
  const unit = textFileChanges(state.unit, { content: renderUnit(wanted), ...PUBLIC });
  return [
    ...changes,
    ...unit.map((change) => ({ ...change, summary: `unit: ${change.summary}` })),
    ...(state.boot ? [] : [{ summary: 'load at boot' }]),
    ...(state.loaded === undefined ? [{ summary: 'load' }] : []),
    ...(changes.length === 0 && state.loaded !== undefined && state.loaded !== state.recorded
      ? [{ summary: 'load again: the kernel has something else' }]
      : []),
  ];
}

/** A table of the kernel's packet filter that is ours alone, loaded as one transaction and again at every boot. */
export const nftTableKind = defineKind({
  kind: 'nft-table',
  summary: 'A packet filter table of its own, checked by nft, loaded as one transaction and again at every boot.',
  props,
  id: ({ family, name }) => `${family} ${name}`,
  read,
  diff,
  async apply(host, wanted, state) {
    const at = places(wanted);
    const text = renderRules(wanted);
    await inTrialFolder(host, async (folder) => {
      const candidate = `${folder}/${wanted.name}.nft`;
      await host.must(['tee', candidate], { input: text });
      const output = await host.run(['nft', '--check', '--file', candidate]);
      if (output.exitCode === 0) return;
      const said = lastLines(output, 12).replaceAll(candidate, at.rules);
      throw new DeployError('firewall-failed', `nft does not accept the table ${wanted.name}:\n${said}`, {
        hint: 'What is in force was left as it is. Correct the line that is named.',
      });
    });
    await host.writeFile(at.rules, text, PRIVATE);
    await host.writeFile(at.unit, renderUnit(wanted), PUBLIC);
    // Enabling also has systemd read the unit again.
    if (state?.boot !== true) await host.must(['systemctl', 'enable', '--quiet', unitName(wanted)]);
    else if (state.unit?.content !== renderUnit(wanted)) await host.must(['systemctl', 'daemon-reload']);
    // Reloading runs nft again as one transaction; restarting would leave the host without the table for a moment.
    await host.must(['systemctl', 'reload-or-restart', unitName(wanted)], {
      hint: `Look at \`systemctl status ${unitName(wanted)}\` on the host.`,
    });
    const digest = await loadedDigest(host, wanted);
    await host.writeFile(at.recorded, `${digest ?? ''}\n`, PRIVATE);
  },
  footprint: ({ name, family }) => ({ name, family }),
  async remove(host, footprint) {
    const table = footprint as Table;
    const at = places(table);
    if ((await host.stat(at.unit)) !== undefined) {
      await host.run(['systemctl', 'disable', '--quiet', '--now', unitName(table)]);
    }
    for (const path of [at.unit, at.rules, at.recorded]) await host.removeFile(path);
    await host.run(['systemctl', 'daemon-reload']);
    if ((await loadedDigest(host, table)) !== undefined) {
      await host.must(['nft', 'delete', 'table', table.family, table.name]);
    }
  },
  guarded: true,
});
