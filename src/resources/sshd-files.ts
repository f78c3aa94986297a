import type { Host } from '#resources/resource';

/** The main configuration of sshd. */
export const MAIN = '/etc/ssh/sshd_config';

/** Where its drop-ins lie. */
export const DIRECTORY = '/etc/ssh/sshd_config.d';

/** The line by which the main file reads its drop-ins. */
export const INCLUDE = /^[ \t]*Include[ \t=]+"?\/etc\/ssh\/sshd_config\.d\/\*\.conf"?[ \t]*$/im;

/** A file of the configuration, or the part of the main one before or behind its Include. */
export interface ConfigPart {
  readonly path: string;
  readonly content: string;
  /** Number of its first line; 1 where none is given. */
  readonly firstLine?: number;
}

/** The whole live configuration in the order sshd reads it, the file `own` with another content where one is given. */
export async function inOrder(host: Host, own: string, content?: string): Promise<readonly ConfigPart[]> {
  const main = (await host.readFile(MAIN)) ?? '';
  const names = (await host.list(DIRECTORY)).filter((name) => name.endsWith('.conf') && `${DIRECTORY}/${name}` !== own);
  const files = await Promise.all(
    names.map(async (name) => {
      const path = `${DIRECTORY}/${name}`;
      return { path, content: (await host.readFile(path)) ?? '' };
    }),
  );
  const ours = content ?? (await host.readFile(own));
  if (ours !== undefined) files.push({ path: own, content: ours });
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  const at = INCLUDE.exec(main)?.index ?? main.length;
  const before = main.slice(0, at);
  const behind = { path: MAIN, content: main.slice(at), firstLine: before.split('\n').length };
  return [{ path: MAIN, content: before }, ...files, behind];
}

/** The main file with its Include spelt out, so that a candidate can stand in for the file it will become. */
export function mergedConfig(main: string, files: readonly string[]): string {
  return main.replace(INCLUDE, () => files.map((path) => `Include ${path}`).join('\n'));
}

/** A line of the configuration. */
export interface Place {
  readonly path: string;
  readonly line: number;
  /** What the Match block asks for that the line is in. */
  readonly match?: string;
}

/** `file:line`, as editors open it. */
export function placeText({ path, line }: Place): string {
  return `${path}:${line}`;
}

function wordsIn({ path, content, firstLine = 1 }: ConfigPart) {
  let match: string | undefined;
  return content.split('\n').flatMap((text, index) => {
    const [, name, rest = ''] = /^\s*([A-Za-z][A-Za-z0-9]*)(?:\s|=)(.*)$/.exec(text) ?? [];
    const word = name?.toLowerCase();
    if (word === undefined) return [];
    if (word === 'match') match = rest.trim();
    const place: Place = { path, line: firstLine + index, ...(match === undefined ? {} : { match }) };
    return [{ word, inMatch: match !== undefined, place }];
  });
}

/** Where an option is set first outside a Match block, which is the value that counts; undefined where nowhere. */
export function firstToSet(option: string, parts: readonly ConfigPart[]): Place | undefined {
  return parts.flatMap(wordsIn).find(({ word, inMatch }) => word === option && !inMatch)?.place;
}

/** Where a Match block sets an option first: for whom it matches, it wins over all that is set outside of one. */
export function firstToMatch(option: string, parts: readonly ConfigPart[]): Place | undefined {
  return parts.flatMap(wordsIn).find(({ word, inMatch }) => word === option && inMatch)?.place;
}

/** Whether there is a Match block in one of these. */
export function hasMatch(parts: readonly ConfigPart[]): boolean {
  return parts.flatMap(wordsIn).some(({ word }) => word === 'match');
}
