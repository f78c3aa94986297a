import { posix } from 'node:path';

interface Rule {
  readonly pattern: RegExp;
  readonly isException: boolean;
}

/** What a `.dockerignore` leaves out, by paths relative to the context with forward slashes. */
export interface Ignore {
  (path: string): boolean;
  /** Whether something below a folder that is left out may still be wanted. */
  readonly hasExceptions: boolean;
}

// Go's filepath.Match, and `**` for any number of folders, as Docker's documentation of .dockerignore has it.
function expression(pattern: string): RegExp {
  let source = '';
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern[at] ?? '';
    if (pattern.startsWith('**', at)) {
      const isFolder = pattern[at + 2] === '/';
      source += isFolder ? '(?:.*/)?' : '.*';
      at += isFolder ? 2 : 1;
    } else if (character === '*') source += '[^/]*';
    else if (character === '?') source += '[^/]';
    else if (character === '[' && pattern.indexOf(']', at) > at) {
      const end = pattern.indexOf(']', at);
      source += pattern.slice(at, end + 1).replaceAll('\\', '\\\\');
      at = end;
    } else if (character === '\\' && at + 1 < pattern.length) {
      at += 1;
      source += (pattern[at] ?? '').replace(/[^\w]/, '\\$&');
    } else source += character.replace(/[^\w/]/, '\\$&');
  }
  // What is in a folder that matches is left out with it.
  return new RegExp(`^${source}(?:/.*)?$`, 's');
}

function ruleOf(line: string): Rule | undefined {
  const text = line.trim();
  if (text === '' || text.startsWith('#')) return undefined;
  const isException = text.startsWith('!');
  const pattern = posix.normalize((isException ? text.slice(1) : text).trim()).replace(/^\/+|\/+$/g, '');
  return pattern === '' || pattern === '.' ? undefined : { pattern: expression(pattern), isException };
}

/** Reads a `.dockerignore`: the last line that matches decides. */
export function ignoring(text: string): Ignore {
  const rules = text.split('\n').flatMap((line) => ruleOf(line) ?? []);
  const ignores = (path: string): boolean => rules.findLast(({ pattern }) => pattern.test(path))?.isException === false;
  return Object.assign(ignores, { hasExceptions: rules.some(({ isException }) => isException) });
}
