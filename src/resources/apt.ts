import type { ErrorCode } from '#core/error-codes';
import { ERROR_CODES } from '#core/error-codes';
import { DeployError } from '#core/errors';
import type { Output } from '#core/run';
import { noteBefore, noteBrought } from '#resources/apt-brought';
import { type Patience, waitForApt } from '#resources/apt-lock';
import { wasInterrupted } from '#resources/dpkg';
import type { Host } from '#resources/resource';

/** Seconds to wait for another program that works with packages; unattended upgrades of a fresh host take minutes. */
export const APT_PATIENCE = 600;

const ENVIRONMENT = { DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_MODE: 'l', UCF_FORCE_CONFFOLD: '1' };
const CONFFILES = ['-o', 'Dpkg::Options::=--force-confdef', '-o', 'Dpkg::Options::=--force-confold'];
const NETWORK = ['-o', 'Acquire::Retries=3', '-o', 'Acquire::http::Timeout=30', '-o', 'Acquire::https::Timeout=30'];
/** Seconds; a slow mirror and a small disk take long, an apt that hangs takes for ever. */
const TIMEOUT = 3600;

// apt's lists keep the date of the mirror, so when they were read is kept in a file of our own.
const STAMP = '/var/lib/slipway/apt-updated';
const LISTS = '/var/lib/apt/lists';
const MINUTES_PER_DAY = 1440;

/** What apt says when something goes wrong, and which error that is; the first that fits counts. */
const SYMPTOMS: readonly (readonly [RegExp, ErrorCode])[] = [
  [/Could not get lock|Unable to acquire the dpkg frontend lock|Unable to lock (?:the|directory)/, 'apt-locked'],
  [/No space left on device|enough free space|not enough space/i, 'disk-full'],
  [/is not valid yet|Release file .* (?:is )?expired/i, 'clock-off'],
  [/NO_PUBKEY|is not signed|BADSIG|Missing key|signatures? (?:was|were|couldn't|could not)/i, 'repository-untrusted'],
  [/Unable to locate package|has no installation candidate|Couldn't find any package/, 'package-unknown'],
  [
    /Failed to fetch|Could not (?:resolve|connect)|Temporary failure resolving|Unable to connect|Cannot initiate/,
    'mirror-unreachable',
  ],
  [/dpkg was interrupted|Unmet dependencies|unmet dependencies|needs to be reinstalled/, 'package-broken'],
];

/** Which error the words of apt stand for. */
export function symptom(said: string): ErrorCode {
  return SYMPTOMS.find(([pattern]) => pattern.test(said))?.[1] ?? 'command-failed';
}

/** The lines in which apt says what is wrong; its last lines where it marks none. */
export function complaint(said: string, count = 6): string {
  const lines = said
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const marked = lines.filter(
    (line) => /^(?:E:|W:|dpkg: error)|No space left on device/.test(line) && !/^W: Some index/.test(line),
  );
  return (marked.length > 0 ? [...new Set(marked)] : lines).slice(-count).join('\n');
}

function failure(what: string, output: Output): DeployError {
  const said = `${output.stdout}\n${output.stderr}`;
  const code = symptom(said);
  const how = output.timedOut ? `did not end within ${TIMEOUT / 60} minutes` : 'failed';
  return new DeployError(code, `${what} ${how}:\n${complaint(said)}`, { hint: ERROR_CODES[code].fix });
}

/** One apt-get call, once nobody else works with packages; a lock that is lost to another program is waited for again. */
export async function aptGet(host: Host, argv: readonly string[], patience: Patience): Promise<Output> {
  for (;;) {
    await waitForApt(host, patience);
    const output = await host.run(['apt-get', '-q', ...NETWORK, ...argv], { env: ENVIRONMENT, timeout: TIMEOUT });
    const lost = output.exitCode !== 0 && symptom(`${output.stdout}\n${output.stderr}`) === 'apt-locked';
    if (!lost || Date.now() >= patience.until) return output;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

/** A deadline that many seconds from now. */
export function patienceOf(seconds: number): Patience {
  return { until: Date.now() + seconds * 1000, seconds };
}

/** Finishes what an interrupted run of dpkg left half-done. */
export async function repairPackages(host: Host, patience: Patience): Promise<void> {
  if (!(await wasInterrupted(host))) return;
  await waitForApt(host, patience);
  host.say('finishing an interrupted installation of packages');
  const options = { env: ENVIRONMENT, timeout: TIMEOUT };
  const configured = await host.run(['dpkg', '--force-confdef', '--force-confold', '--configure', '-a'], options);
  if (configured.exitCode === 0 && (await host.run(['dpkg', '--audit'])).stdout.trim() === '') return;
  const fixed = await aptGet(
    host,
    ['install', '-y', '--fix-broken', '--no-install-recommends', ...CONFFILES],
    patience,
  );
  if (fixed.exitCode !== 0) throw failure('Finishing an interrupted installation of packages', fixed);
}

/** Whether the lists of packages are there and were read within the last day. */
export async function listsAreFresh(host: Host): Promise<boolean> {
  const names = await host.list(LISTS);
  if (!names.some((name) => name.endsWith('_Packages') || /_Packages\.\w+$/.test(name))) return false;
  const recent = await host.run(['find', LISTS, STAMP, '-maxdepth', '0', '-mmin', `-${MINUTES_PER_DAY}`]);
  return recent.stdout.trim() !== '';
}

/** Reads the lists of packages again. A source that cannot be read is told; the others count. */
export async function updateLists(host: Host, patience: Patience): Promise<void> {
  const output = await aptGet(host, ['update'], patience);
  const said = `${output.stdout}\n${output.stderr}`;
  const unread = /^(?:W|E|Err): ?.*$/m.test(output.stderr) && symptom(said) !== 'command-failed';
  if (output.exitCode !== 0 || (unread && !(await haveLists(host))))
    throw failure('Reading the lists of packages', output);
  if (unread) {
    host.warn(`Some lists of packages could not be read:\n${complaint(said)}`, ERROR_CODES[symptom(said)].fix);
    return;
  }
  await host.run(['install', '-D', '-m', '0644', '/dev/null', STAMP]);
}

/** Reads the lists of one source alone, from its file; rejects where it cannot be reached or its signature does not fit. */
export async function readSource(host: Host, name: string, path: string, patience: Patience): Promise<void> {
  const only = [
    '-o',
    `Dir::Etc::sourcelist=${path}`,
    '-o',
    'Dir::Etc::sourceparts=-',
    '-o',
    'APT::Get::List-Cleanup=0',
  ];
  const output = await aptGet(host, ['update', ...only, '-o', 'APT::Update::Error-Mode=any'], patience);
  if (output.exitCode !== 0) throw failure(`Reading the repository ${name}`, output);
}

async function haveLists(host: Host): Promise<boolean> {
  return (await host.list(LISTS)).some((name) => /_Packages(?:\.\w+)?$/.test(name));
}

/** Installs packages as one transaction. The lists are read first only where they are old, or lack what is asked for. */
export async function installPackages(host: Host, names: readonly string[], patience: Patience): Promise<void> {
  await repairPackages(host, patience);
  await noteBrought(host);
  await noteBefore(host);
  let updated = false;
  if (!(await listsAreFresh(host))) {
    await updateLists(host, patience);
    updated = true;
  }
  const argv = ['install', '-y', '--no-install-recommends', ...CONFFILES, ...names];
  let output = await aptGet(host, argv, patience);
  const code = symptom(`${output.stdout}\n${output.stderr}`);
  // Lists from before the newest point release name files that the mirror has dropped since.
  if (output.exitCode !== 0 && !updated && (code === 'package-unknown' || code === 'mirror-unreachable')) {
    await updateLists(host, patience);
    output = await aptGet(host, argv, patience);
  }
  await noteBrought(host);
  if (output.exitCode !== 0) throw failure(`Installing ${names.join(', ')}`, output);
}

/** The packages that a removal would take along. */
export async function removalSet(host: Host, argv: readonly string[]): Promise<readonly string[]> {
  const output = await host.must(['apt-get', '-s', '-q', ...argv], { env: ENVIRONMENT });
  return output.stdout.split('\n').flatMap((line) => /^Remv (\S+)/.exec(line)?.[1] ?? []);
}

/** Removes these packages; their configuration files stay, as apt leaves them. */
export async function removePackages(host: Host, names: readonly string[], patience: Patience): Promise<void> {
  const output = await aptGet(host, ['remove', '-y', ...CONFFILES, ...names], patience);
  if (output.exitCode !== 0) throw failure(`Removing ${names.join(', ')}`, output);
}
