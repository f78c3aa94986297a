import { stringify } from 'yaml';
import type { ComposeHealthcheck, Docker, Volume } from '#inventory/environment';

/** Texts are final: what looks like a variable to Compose must stay as it is (Compose specification, "Interpolation"). */
function literal(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('$', '$$$$');
  if (Array.isArray(value)) return value.map(literal);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, entry]) => entry !== undefined)
      .map(([key, entry]) => [key, literal(entry)]),
  );
}

/**
 * Data as YAML for a place in a Compose file, indented by two spaces. All texts are quoted, since Compose reads YAML 1.1
 * in parts, where `2026-01-01` is a time and `1_000` a number.
 */
export function composeYaml(data: Readonly<Record<string, unknown>>): string {
  const text = stringify(literal(data), {
    defaultStringType: 'QUOTE_DOUBLE',
    defaultKeyType: 'PLAIN',
    lineWidth: 0,
    version: '1.1',
  });
  return text.trimEnd().replaceAll(/^(?=.)/gm, '  ');
}

/** Volumes as a Compose service lists them. */
export function composeVolumes(app: string, volumes: readonly Volume[]): readonly Record<string, unknown>[] {
  return volumes.map(({ type, source, target, readOnly }) => ({
    type,
    source: type === 'volume' ? volumeName(app, source) : source,
    target,
    ...(readOnly ? { read_only: true } : {}),
  }));
}

/** A named volume belongs to the app: both slots and all accessories mean the same one. */
export function volumeName(app: string, volume: string): string {
  return `${app}-${volume}`;
}

/** The volumes section for the named volumes among these; undefined where there is none. */
export function volumesSection(app: string, volumes: readonly Volume[]): string | undefined {
  const names = [
    ...new Set(volumes.filter(({ type }) => type === 'volume').map(({ source }) => volumeName(app, source))),
  ];
  if (names.length === 0) return undefined;
  return composeYaml(Object.fromEntries(names.sort().map((name) => [name, { name, external: true }])));
}

/** The log settings of a container. */
export function composeLogging({ logMaxSize, logMaxFile }: Docker): Record<string, unknown> {
  return { driver: 'local', options: { 'max-size': String(logMaxSize), 'max-file': String(logMaxFile) } };
}

/** A health check asked every second until it first succeeds, so that a healthy start is seen at once. */
export function composeHealthcheck(healthcheck: ComposeHealthcheck): Record<string, unknown> {
  return { start_period: '30s', start_interval: '1s', ...healthcheck };
}
