const SECONDS: Readonly<Record<string, number>> = {
  ms: 0.001,
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
  w: 604_800,
};
const BYTES: Readonly<Record<string, number>> = {
  b: 1,
  k: 1024,
  kb: 1024,
  m: 1024 ** 2,
  mb: 1024 ** 2,
  g: 1024 ** 3,
  gb: 1024 ** 3,
  t: 1024 ** 4,
  tb: 1024 ** 4,
};

function parse(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/i.exec(text.trim());
  const factor = units[match?.[2]?.toLowerCase() ?? ''];
  return match === null || factor === undefined ? undefined : Number(match[1]) * factor;
}

/** Seconds from a duration such as `60s`, `5m`, `30d`; undefined where it is none. */
export function parseDuration(text: string): number | undefined {
  return parse(text, SECONDS);
}

/** Bytes from a size such as `512mb` or `512m` (powers of 1024, as Redis and Docker count); undefined where it is none. */
export function parseSize(text: string): number | undefined {
  const bytes = parse(text, BYTES);
  return bytes === undefined ? undefined : Math.round(bytes);
}

/** Seconds as a person reads them: `0.8 s`, `12 s`, `3 min 4 s`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** How many there are of something: `1 row`, `1,000 rows`, `2 copies`. */
export function counted(count: number, what: string): string {
  const several = what.endsWith('y') ? `${what.slice(0, -1)}ies` : `${what}s`;
  return `${count.toLocaleString('en')} ${count === 1 ? what : several}`;
}

/** Bytes as a person reads them: `512 MB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
