import { readdirSync, readFileSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { DeployError } from '#core/errors';

/** What `~/.ssh/config` says about one host, tokens expanded. */
export interface HostSettings {
  readonly hostName: string;
  readonly user?: string;
  readonly port?: number;
  /** Absolute paths, in order; undefined where the configuration names none, empty for `IdentityFile none`. */
  readonly identityFiles?: readonly string[];
  readonly identitiesOnly: boolean;
  /** A socket path, or false for `IdentityAgent none`. */
  readonly identityAgent?: string | false;
  /** The hosts to go through, first hop first. */
  readonly jumps: readonly string[];
  readonly hostKeyAlias?: string;
  /** What stands in the file and was passed over, one sentence each. */
  readonly warnings: readonly string[];
}

export interface SettingsQuery {
  /** `~/.ssh/config` by default; a missing file says nothing. */
  readonly file?: string;
  /** What the inventory declares, which wins over the file. */
  readonly user?: string;
  readonly port?: number;
}

interface Scan {
  readonly host: string;
  readonly user: string | undefined;
  readonly folder: string;
  readonly values: Map<string, string>;
  readonly identityFiles: string[];
  readonly warnings: string[];
}

const READ = new Set([
  'hostname',
  'user',
  'port',
  'identitiesonly',
  'identityagent',
  'proxyjump',
  'proxycommand',
  'hostkeyalias',
]);
// The depth at which OpenSSH gives up too (READCONF_MAX_DEPTH).
const DEEPEST_INCLUDE = 16;

/**
 * Reads the OpenSSH client configuration for one host by ssh_config(5)'s rules: the first value wins, `Host` patterns
 * with wildcards and negation, `Include`, `Match` on all, host, originalhost, user and localuser. Nothing is executed.
 */
export function settingsFor(host: string, query: SettingsQuery = {}): HostSettings {
  const file = query.file ?? join(homedir(), '.ssh', 'config');
  const scan: Scan = {
    host,
    user: query.user,
    folder: dirname(file),
    values: new Map(),
    identityFiles: [],
    warnings: [],
  };
  scanFile(file, true, 0, scan);
  return settled(scan, query);
}

function settled(scan: Scan, query: SettingsQuery): HostSettings {
  const { values } = scan;
  const hostName = expand(values.get('hostname') ?? scan.host, { h: scan.host, n: scan.host });
  const user = query.user ?? values.get('user');
  const port = query.port ?? portOf(values.get('port'), scan.host);
  const tokens = tokensFor(scan.host, hostName, user, port);
  const agent = values.get('identityagent');
  const hostKeyAlias = values.get('hostkeyalias');
  const identities = scan.identityFiles.filter((name) => name.toLowerCase() !== 'none');
  return {
    hostName,
    ...(user === undefined ? {} : { user }),
    ...(port === undefined ? {} : { port }),
    ...(scan.identityFiles.length === 0 ? {} : { identityFiles: identities.map((name) => pathOf(name, tokens)) }),
    identitiesOnly: values.get('identitiesonly')?.toLowerCase() === 'yes',
    ...agentSetting(agent, tokens),
    jumps: jumpsOf(scan, tokens),
    ...(hostKeyAlias === undefined ? {} : { hostKeyAlias: expand(hostKeyAlias, tokens) }),
    warnings: scan.warnings,
  };
}

function agentSetting(agent: string | undefined, tokens: Tokens): { identityAgent?: string | false } {
  if (agent === undefined || agent === 'SSH_AUTH_SOCK') return {};
  if (agent.toLowerCase() === 'none') return { identityAgent: false };
  const variable = /^\$([A-Za-z_][A-Za-z0-9_]*)$/.exec(agent)?.[1];
  if (variable === undefined) return { identityAgent: pathOf(agent, tokens) };
  const socket = process.env[variable];
  return socket === undefined ? {} : { identityAgent: socket };
}

function jumpsOf(scan: Scan, tokens: Tokens): string[] {
  const jump = scan.values.get('proxyjump');
  if (jump !== undefined && jump.toLowerCase() !== 'none') return expand(jump, tokens).split(/\s*,\s*/);
  const command = scan.values.get('proxycommand');
  if (command === undefined || command.toLowerCase() === 'none') return [];
  // What people wrote before ProxyJump existed, and still have in their files.
  const through = /^(?:\S*\/)?ssh\s+(?:-q\s+)?-W\s+\[?%h\]?:%p\s+(?:-q\s+)?([^\s-]\S*)$/.exec(command)?.[1];
  if (through !== undefined) return [through];
  throw new DeployError(
    'ssh-config-unsupported',
    `the SSH configuration reaches ${scan.host} through "ProxyCommand ${command}", which is not run from here`,
    { hint: `Write it as ProxyJump in the configuration's block for ${scan.host}.` },
  );
}

function scanFile(file: string, active: boolean, depth: number, scan: Scan): void {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    // A missing file is no configuration; one that cannot be read would silently lead to another host.
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return;
    throw invalid(`${file} cannot be read: ${(error as Error).message}`, file);
  }
  let applies = active;
  for (const [index, line] of text.split('\n').entries()) {
    const where = `${file}:${index + 1}`;
    const words = wordsOf(line, where);
    const keyword = words[0]?.toLowerCase();
    if (keyword === undefined) continue;
    const values = words.slice(1);
    if (values.length === 0) throw invalid(`${where}: ${words[0]} has no value`, file);
    if (keyword === 'host') applies = active && matchesHost(values, scan.host);
    else if (keyword === 'match') applies = active && matches(values, scan, where);
    else if (keyword === 'include') include(values, applies, depth, scan, where);
    else if (applies) take(keyword, values, scan);
  }
}

function take(keyword: string, values: readonly string[], scan: Scan): void {
  if (keyword === 'identityfile') scan.identityFiles.push(values.join(' '));
  if (!READ.has(keyword)) return;
  // ssh_config(5): of ProxyJump and ProxyCommand, whichever comes first prevents the other.
  const rival = keyword === 'proxyjump' ? 'proxycommand' : keyword === 'proxycommand' ? 'proxyjump' : keyword;
  if (scan.values.has(keyword) || scan.values.has(rival)) return;
  scan.values.set(keyword, values.join(' '));
}

function include(names: readonly string[], active: boolean, depth: number, scan: Scan, where: string): void {
  if (depth >= DEEPEST_INCLUDE) throw invalid(`${where}: Include nests deeper than ${DEEPEST_INCLUDE} files`, where);
  for (const name of names) {
    const path = pathOf(name, {});
    for (const file of paths(isAbsolute(path) ? path : join(scan.folder, path))) {
      scanFile(file, active, depth + 1, scan);
    }
  }
}

function matches(words: readonly string[], scan: Scan, where: string): boolean {
  const left = [...words];
  let matched = true;
  while (left.length > 0) {
    const word = left.shift() ?? '';
    const negated = word.startsWith('!');
    const criterion = word.replace(/^!/, '').toLowerCase();
    if (criterion === 'all') continue;
    const subject = matchSubject(criterion, scan);
    const patterns = left.shift();
    if (subject === undefined || patterns === undefined) {
      scan.warnings.push(`${where}: "Match ${words.join(' ')}" is passed over: ${criterion} is not looked at`);
      return false;
    }
    if (matchesHost(patterns.split(','), subject) === negated) matched = false;
  }
  return matched;
}

function matchSubject(criterion: string, scan: Scan): string | undefined {
  if (criterion === 'host') return expand(scan.values.get('hostname') ?? scan.host, { h: scan.host, n: scan.host });
  if (criterion === 'originalhost') return scan.host;
  if (criterion === 'user') return scan.user ?? scan.values.get('user') ?? userInfo().username;
  if (criterion === 'localuser') return userInfo().username;
  return undefined;
}

/** Whether a name matches a list of OpenSSH patterns: one match and no negated match. */
export function matchesHost(patterns: readonly string[], name: string): boolean {
  let matched = false;
  for (const pattern of patterns) {
    if (pattern.startsWith('!')) {
      if (globMatches(pattern.slice(1), name)) return false;
    } else if (globMatches(pattern, name)) matched = true;
  }
  return matched;
}

function globMatches(pattern: string, name: string): boolean {
  const source = pattern
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, 'i').test(name);
}

type Tokens = Readonly<Record<string, string>>;

function tokensFor(host: string, hostName: string, user: string | undefined, port: number | undefined): Tokens {
  const local = userInfo();
  return {
    h: hostName,
    n: host,
    p: String(port ?? 22),
    r: user ?? local.username,
    u: local.username,
    d: homedir(),
    i: String(local.uid),
  };
}

function expand(text: string, tokens: Tokens): string {
  return text.replaceAll(/%(.)/g, (whole, token: string) => (token === '%' ? '%' : (tokens[token] ?? whole)));
}

function pathOf(name: string, tokens: Tokens): string {
  const home = name === '~' || name.startsWith('~/') ? join(homedir(), name.slice(1)) : name;
  const filled = home.replaceAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (whole, key: string) => process.env[key] ?? whole);
  const expanded = expand(filled, tokens);
  return Object.keys(tokens).length === 0 ? expanded : resolve(expanded);
}

function portOf(text: string | undefined, host: string): number | undefined {
  if (text === undefined) return undefined;
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw invalid(`the SSH configuration gives ${host} the port "${text}", which is none`, 'the file');
}

/** The files a path with `*` and `?` stands for, sorted; the path itself where it has none. */
function paths(pattern: string): string[] {
  if (!/[*?]/.test(pattern)) return [pattern];
  let found = ['/'];
  for (const part of pattern.split('/').filter((segment) => segment !== '')) {
    found = found.flatMap((folder) => (/[*?]/.test(part) ? entries(folder, part) : [join(folder, part)]));
  }
  return found;
}

function entries(folder: string, pattern: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => globMatches(pattern, name) && (pattern.startsWith('.') || !name.startsWith('.')))
      .sort()
      .map((name) => join(folder, name));
  } catch {
    return [];
  }
}

function wordsOf(line: string, where: string): string[] {
  const text = line.trim();
  if (text === '' || text.startsWith('#')) return [];
  const keyword = /^[A-Za-z0-9]+/.exec(text)?.[0];
  if (keyword === undefined) throw invalid(`${where}: "${text}" is no SSH option`, where);
  const rest = text.slice(keyword.length).replace(/^\s*=?\s*/, '');
  const words = [keyword];
  for (const match of rest.matchAll(/"([^"]*)"|'([^']*)'|(#.*)|([^\s"']+)|(["'])/g)) {
    if (match[3] !== undefined) break;
    if (match[5] !== undefined) throw invalid(`${where}: a quotation mark is not closed`, where);
    words.push(match[1] ?? match[2] ?? match[4] ?? '');
  }
  return words;
}

function invalid(message: string, file: string): DeployError {
  return new DeployError('ssh-config-invalid', message, { hint: `Correct ${file}; \`ssh -G HOST\` checks it.` });
}
