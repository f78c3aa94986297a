const SAFE = /^[A-Za-z0-9_@%+=:,./-]+$/;

/** One word quoted for any POSIX shell, dash included. */
export function quote(word: string): string {
  if (SAFE.test(word)) return word;
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A command line for any POSIX shell from an argument vector. */
export function commandLine(argv: readonly string[]): string {
  return argv.map(quote).join(' ');
}
