const ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r' };

/**
 * Variables as a file that Compose reads back exactly (tried with Compose 2.26 and 2.40): in double quotes, with the
 * backslash before what would mean something there.
 */
export function environmentFile(variables: Readonly<Record<string, string>>): string {
  return Object.entries(variables)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([name, value]) =>
        `${name}="${value.replaceAll(/[\\"$]/g, '\\$&').replaceAll(/[\n\r]/g, (char) => ESCAPES[char] ?? char)}"\n`,
    )
    .join('');
}
