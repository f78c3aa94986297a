/** How text is coloured for a stream: not at all without a terminal or with NO_COLOR (no-color.org). */
export interface Paint {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  cyan(text: string): string;
}

/** The colours for a stream. */
export function paintFor(stream: { readonly isTTY?: boolean | undefined }): Paint {
  const isPlain = stream.isTTY !== true || (process.env.NO_COLOR ?? '') !== '' || process.env.TERM === 'dumb';
  const colour = (code: number) => (text: string) => (isPlain ? text : `\u001b[${code}m${text}\u001b[0m`);
  return { bold: colour(1), dim: colour(2), red: colour(31), green: colour(32), yellow: colour(33), cyan: colour(36) };
}
