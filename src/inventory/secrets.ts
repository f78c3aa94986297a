import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'dotenv';
import { VARIABLE } from '#inventory/formats';
import { showPath } from '#inventory/problems';
import { mapScalars, type Origin, type Path, type Report, type Tree } from '#inventory/tree';

/** A value from a `.env` file, and where it stands. */
export interface Secret {
  readonly value: string;
  readonly origin: Origin;
}

/** What one `.env` file holds. */
export interface SecretFile {
  readonly exists: boolean;
  readonly secrets: ReadonlyMap<string, Secret>;
  readonly warnings: readonly string[];
}

// In the part of a URL before the host, these end that part or begin an escape (RFC 3986, 3.2.1).
const BREAKS_URL = /[@/?#%[\]\s]/;
const INSIDE_URL = /:\/\/[^/@\s]*$/;

// What the redactor needs to tell a secret from an ordinary word.
const SHORTEST = 4;

const ASSIGNMENT = /^[ \t]*(?:export[ \t]+)?([^\s=]+)[ \t]*=[ \t]*/;

/** Reads `.env.<name>` beside the project's root. A file that does not exist has no values. */
export async function readSecretFile(directory: string, name: string, report: Report): Promise<SecretFile> {
  const file = `.env.${name}`;
  const path = join(directory, file);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'ENOENT') {
      report({
        path: [],
        origin: { file, line: 1, column: 1 },
        message: `cannot be read (${code ?? 'unknown error'})`,
      });
    }
    return { exists: code !== 'ENOENT', secrets: new Map(), warnings: [] };
  }
  const lines = lint(text, file, report);
  const readableByAll = process.platform !== 'win32' && ((await stat(path)).mode & 0o004) !== 0;
  return {
    exists: true,
    secrets: new Map(
      Object.entries(parse(text)).map(([key, value]) => [
        key,
        { value, origin: { file, line: lines.get(key) ?? 1, column: 1 } },
      ]),
    ),
    warnings: readableByAll ? [`${file} can be read by every user of this machine; run: chmod 600 ${file}`] : [],
  };
}

/**
 * The line of each name; reports what dotenv would read as something else than it looks like. Values are never part
 * of a report.
 */
function lint(text: string, file: string, report: Report): ReadonlyMap<string, number> {
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/);
  const seen = new Map<string, number>();
  for (let index = 0; index < lines.length; index += 1) {
    const line = lines[index] ?? '';
    if (/^\s*(?:#|$)/.test(line)) continue;
    const origin: Origin = { file, line: index + 1, column: 1 };
    const match = ASSIGNMENT.exec(line);
    const name = match?.[1] ?? '';
    if (match === null) {
      report({ path: [], origin, message: 'is no NAME=value line' });
      continue;
    }
    if (!VARIABLE.test(name)) {
      report({ path: [], origin, message: `"${name}" is no name; use letters, digits and underscores` });
    }
    const earlier = seen.get(name);
    if (earlier !== undefined) {
      report({ path: [name], origin, message: `is set twice; the first is on line ${earlier}` });
    }
    seen.set(name, earlier ?? index + 1);
    const value = line.slice(match[0].length);
    const quote = /^["'`]/.exec(value)?.[0];
    if (quote === undefined) {
      if (value.includes('#')) {
        report({
          path: [name],
          origin,
          message: 'has an unquoted #, which would begin a comment and cut the value short; put the value in quotes',
        });
      }
      continue;
    }
    // A quoted value may go over several lines.
    let rest = value.slice(1);
    const closed = new RegExp(`^(?:\\\\[\\s\\S]|[^\\\\${quote}])*${quote}[ \\t]*(?:#.*)?$`);
    while (!closed.test(rest) && index + 1 < lines.length) {
      index += 1;
      rest += `\n${lines[index] ?? ''}`;
    }
    if (!closed.test(rest)) {
      report({ path: [name], origin, message: `begins with ${quote} and does not end with it` });
      return seen;
    }
  }
  return seen;
}

const VARIABLE_USE = /\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-?+])((?:[^{}$]|\$\$)*))?\}|([A-Za-z_][A-Za-z0-9_]*)|)/g;

interface Use {
  readonly path: Path;
  readonly origin: Origin;
  /** What the inventory itself says about a value that is missing. */
  readonly complaint: string | undefined;
}

/** An inventory with its variables replaced. */
export interface Interpolated {
  readonly tree: Tree;
  /** The values that were taken from `.env` files, by name. */
  readonly used: Readonly<Record<string, string>>;
}

// proc(5): the arguments of a process are readable by every user, its environment only by its own.
function isCommandLine([section, , ...key]: readonly (string | number)[]): boolean {
  if (section !== 'services' && section !== 'accessories') return false;
  return key[0] === 'command' || key[0] === 'entrypoint' || (key[0] === 'healthcheck' && key[1] === 'test');
}

/** Whether what stands there is a secret wherever it comes from. */
function isSecretPlace([section, key, name]: readonly (string | number)[], last: string | number | undefined): boolean {
  if (last === 'password') return true;
  return section === 'backups' && key === 'credentials' && /SECRET|PASSWORD|TOKEN/.test(String(name));
}

/**
 * Replaces `${NAME}`, `${NAME:-default}`, `${NAME:?message}`, `${NAME:+other}` and `$$` in every text of an inventory
 * (Compose specification, "Interpolation"). Values come from the `.env` files alone, never from the process. `envFile`
 * is named where a value is missing.
 */
export function interpolate(
  tree: Tree,
  secrets: ReadonlyMap<string, Secret>,
  envFile: { readonly name: string; readonly exists: boolean },
  report: Report,
): Interpolated {
  const used = new Map<string, Secret>();
  const missing = new Map<string, Use[]>();

  const replaced = mapScalars(tree, (scalar, path, origin) => {
    if (typeof scalar !== 'string') return scalar;
    let isSecret = false;
    const text = scalar.replaceAll(VARIABLE_USE, (whole, name, operator, word, bare, offset) => {
      if (whole === '$$') return '$';
      if (name === undefined) {
        const meant = bare === undefined ? '' : `\${${bare}} for a secret, `;
        report({ path, origin, message: `has a single $; write ${meant}$$ for a dollar sign` });
        return whole;
      }
      const secret = secrets.get(name);
      const other = String(word ?? '').replaceAll('$$', '$');
      const countsEmpty = operator === '-' || operator === '?' || operator === '+';
      const isSet = secret !== undefined && (secret.value !== '' || countsEmpty);
      if (operator === ':+' || operator === '+') return isSet ? other : '';
      if (isSet) {
        used.set(name, secret);
        isSecret = true;
        if (isCommandLine(path)) {
          const message = `puts \${${name}} into a command line, which everybody on the host can read; give it in \`environment\``;
          report({ path, origin, message });
        }
        if (INSIDE_URL.test(scalar.slice(0, offset)) && BREAKS_URL.test(secret.value)) {
          const message = `puts \${${name}} into a URL, where one of the characters @ / ? # % [ ] or a blank in it means something else; choose another value`;
          report({ path, origin, message });
        }
        return secret.value;
      }
      if (operator === ':-' || operator === '-') return other;
      missing.set(name, [...(missing.get(name) ?? []), { path, origin, complaint: other === '' ? undefined : other }]);
      isSecret = true;
      return whole;
    });
    if (isSecretPlace(path, path.at(-1)) && !isSecret) {
      const message = `is written into the inventory, where everyone sees it; put it into ${envFile.name} and write \${NAME}`;
      report({ path, origin, message });
    }
    return text;
  });

  for (const [name, uses] of missing) {
    const [first, ...others] = uses;
    if (first === undefined) continue;
    const state = envFile.exists ? `is not set in ${envFile.name}` : `is not set; there is no ${envFile.name}`;
    const complaint = uses.find((use) => use.complaint !== undefined)?.complaint;
    const also = others.length === 0 ? '' : ` (also needed at ${others.map((use) => showPath(use.path)).join(', ')})`;
    const why = complaint === undefined ? '' : `: ${complaint}`;
    report({ path: first.path, origin: first.origin, message: `needs \${${name}}, which ${state}${why}${also}` });
  }
  for (const [name, { value, origin }] of used) {
    if (value.length >= SHORTEST || value === '') continue;
    const message = `is shorter than ${SHORTEST} characters: too short to be kept out of what is shown; if it is no secret, write it into the inventory`;
    report({ path: [name], origin, message });
  }
  return { tree: replaced, used: Object.fromEntries([...used].map(([name, { value }]) => [name, value])) };
}
