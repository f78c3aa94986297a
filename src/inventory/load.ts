import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DeployError } from '#core/errors';
import { redactor } from '#core/redact';
import { checkRelations, type Fault, regrets } from '#inventory/check';
import type { Environment } from '#inventory/environment';
import { readNamedFiles } from '#inventory/files';
import { findingsOf } from '#inventory/issues';
import { InventoryError, nearest, type Problem, problemAt } from '#inventory/problems';
import { resolveEnvironment } from '#inventory/resolve';
import { inventory as schema } from '#inventory/schema';
import { interpolate, readSecretFile, type Secret } from '#inventory/secrets';
import { locate, mergeTrees, parseTree, plainOf, type Report, type Tree } from '#inventory/tree';

type MapTree = Tree & { kind: 'map' };

const ENVIRONMENT_NAME = /^[a-z0-9][a-z0-9._-]*$/i;

/** The names of a project's environments, in alphabetical order; none where it has no `inventory` directory. */
export async function listEnvironments(projectDirectory: string): Promise<readonly string[]> {
  const files = await readdir(join(projectDirectory, 'inventory')).catch(() => []);
  return files
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.slice(0, -'.yaml'.length))
    .sort();
}

/**
 * Reads `inventory/<name>.yaml`, the environments it extends and their `.env.<name>` files, checks all of it and
 * returns it frozen, with defaults applied. Throws `inventory-missing`, or `inventory-invalid` with every problem.
 */
export async function loadEnvironment(projectDirectory: string, name: string): Promise<Environment> {
  const directory = resolve(projectDirectory);
  const problems: Problem[] = [];
  const report: Report = ({ path, origin, message }) => problems.push(problemAt(path, origin, message));

  const chain = await readChain(directory, name, report);
  const files = chain.map(({ file }) => file);
  const secretFiles = await Promise.all(chain.map((link) => readSecretFile(directory, link.name, report)));
  const secrets = new Map<string, Secret>(secretFiles.reverse().flatMap((file) => [...file.secrets]));
  const redact = redactor([...secrets.values()].map(({ value }) => value));
  const giveUp = (): never => {
    const order = (problem: Problem) => (files.includes(problem.file) ? files.indexOf(problem.file) : files.length);
    const distinct = new Map(problems.map((problem) => [JSON.stringify(problem), problem]));
    const sorted = [...distinct.values()]
      .map((problem) => ({ ...problem, message: redact(problem.message) }))
      .sort((a, b) => order(a) - order(b) || a.line - b.line || a.column - b.column);
    throw new InventoryError(sorted, files);
  };
  const trees = chain.flatMap(({ tree }) => (tree === undefined ? [] : [tree]));
  if (trees.length < chain.length) giveUp();

  const merged = completeAccessories(withoutExtensions(trees.reduceRight((base, over) => mergeTrees(base, over))));
  const envFile = { name: `.env.${name}`, exists: secretFiles.at(-1)?.exists === true };
  const { tree, used } = interpolate(merged, secrets, envFile, report);

  const data = plainOf(tree);
  const fault: Fault = (path, message, part = 'value') => report({ path, origin: locate(tree, path, part), message });
  const checked = schema.safeParse(data);
  const issues = checked.success ? [] : checked.error.issues;
  for (const { path, part, message } of findingsOf(issues, schema, data)) fault(path, message, part);
  checkRelations(data, fault);
  const named = await readNamedFiles(directory, data, fault);
  if (problems.length > 0 || !checked.success) return giveUp();

  const warnings = [...secretFiles.flatMap((file) => file.warnings), ...regrets(data)];
  return resolveEnvironment(checked.data, { name, directory, files: named, secrets: used, warnings });
}

interface Link {
  readonly name: string;
  readonly file: string;
  /** undefined where the file is no YAML map; that has been reported. */
  readonly tree: MapTree | undefined;
}

/** The file of an environment and those it extends, itself first. */
async function readChain(directory: string, name: string, report: Report): Promise<readonly Link[]> {
  const chain: Link[] = [];
  let next: string | undefined = name;
  while (next !== undefined) {
    const link: Link = await readLink(directory, next, report);
    chain.push(link);
    next = undefined;
    const parent = link.tree?.entries.get('extends');
    if (parent === undefined || parent.kind !== 'scalar' || typeof parent.value !== 'string') continue;
    const refuse = (message: string): void => report({ path: ['extends'], origin: parent.at, message });
    const names = [...chain.map((earlier) => earlier.name), parent.value];
    const known = await listEnvironments(directory);
    if (chain.some((earlier) => earlier.name === parent.value)) refuse(`goes in a circle: ${names.join(' → ')}`);
    else if (!known.includes(parent.value)) refuse(`names "${parent.value}", which does not exist; ${listed(known)}`);
    else next = parent.value;
  }
  return chain;
}

async function readLink(directory: string, name: string, report: Report): Promise<Link> {
  const file = `inventory/${name}.yaml`;
  const known = await listEnvironments(directory);
  if (!ENVIRONMENT_NAME.test(name) || !known.includes(name)) {
    throw new DeployError('inventory-missing', `There is no ${file} in ${directory}; ${listed(known)}.`, {
      hint: await missingHint(directory, name, known),
    });
  }
  try {
    return { name, file, tree: parseTree(await readFile(join(directory, file), 'utf8'), file, report) };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    report({ path: [], origin: { file, line: 1, column: 1 }, message: `cannot be read (${code})` });
    return { name, file, tree: undefined };
  }
}

async function missingHint(directory: string, name: string, known: readonly string[]): Promise<string> {
  const files: readonly string[] = await readdir(join(directory, 'inventory')).catch(() => []);
  if (files.includes(`${name}.yml`)) return `Rename inventory/${name}.yml to ${name}.yaml.`;
  const near = nearest(name, known);
  if (near !== undefined) return `Did you mean "${near}"?`;
  return 'Name one of the environments, or write that file; inventory/example.yaml shows every key.';
}

const listed = (known: readonly string[]): string =>
  known.length === 0 ? 'there is no environment yet' : `environments: ${known.join(', ')}`;

/** Without `extends`, which has done its work, and without `x-…`, which holds what the file itself repeats. */
function withoutExtensions(tree: MapTree): MapTree {
  const entries = [...tree.entries].filter(([key, value]) => {
    const isDone = key === 'extends' && value.kind === 'scalar' && typeof value.value === 'string';
    return !isDone && !key.startsWith('x-');
  });
  return { ...tree, entries: new Map(entries) };
}

/** Each accessory with the type its name implies, and PostgreSQL with the place its password comes from. */
function completeAccessories(tree: MapTree): MapTree {
  const accessories = tree.entries.get('accessories');
  if (accessories?.kind !== 'map') return tree;
  const completed = [...accessories.entries].map(([name, accessory]): readonly [string, Tree] => {
    if (accessory.kind !== 'map') return [name, accessory];
    const entries = new Map(accessory.entries);
    const implied = (key: string, value: string): void => {
      if (!entries.has(key)) entries.set(key, { kind: 'scalar', value, key: accessory.key, at: accessory.key });
    };
    implied('type', name === 'postgres' || name === 'redis' ? name : 'container');
    const type = entries.get('type');
    if (type?.kind === 'scalar' && type.value === 'postgres') implied('password', '${POSTGRES_PASSWORD}');
    return [name, { ...accessory, entries }];
  });
  const entries = new Map(tree.entries);
  entries.set('accessories', { ...accessories, entries: new Map(completed) });
  return { ...tree, entries };
}
