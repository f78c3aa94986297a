import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { DeployError } from '#core/errors';
import { commandLine, quote } from '#core/quote';
import type { Connection } from '#ssh/connection';
import { type Runtime, runtimeArchive, runtimeFor, runtimeUrl } from '#ssh/runtime';

/** The runner as it was built: one file, known by the hash of its content. */
export interface Bundle {
  readonly content: Buffer;
  /** SHA-256, hex. */
  readonly sha256: string;
  /** The folder it lives in on every host. */
  readonly folder: string;
}

const SOFTWARE = '/opt/slipway';

/** Seconds the host may take to fetch the runtime by itself before it is sent. */
const FETCH = 90;

/** Megabytes that have to be free for runner and runtime: Node 24 is 120 unpacked, and 52 packed beside it. */
const SPACE = 200;

/** Folders of older runners that stay on a host, so that what still runs there finds its files. */
const KEPT = 2;

/** The runner at a path, ready to be brought. */
export function readBundle(path: string): Bundle {
  const content = readFileSync(path);
  const sha256 = createHash('sha256').update(content).digest('hex');
  return { content, sha256, folder: `${SOFTWARE}/${sha256.slice(0, 16)}` };
}

/** A command line that a user of the host runs as root. */
export function asRoot(user: string, argv: readonly string[]): string {
  const command = commandLine(argv);
  // sudo clears the environment; the runner needs to know where the operator comes from.
  return user === 'root' ? command : `sudo -n SLIPWAY_SSH_CONNECTION="$SSH_CONNECTION" ${command}`;
}

/** What a failing sudo means to a person. */
export function sudoProblem(connection: Connection, stderr: string): DeployError | undefined {
  if (!/\bsudo\b/.test(stderr)) return undefined;
  const missing = /not found/.test(stderr);
  const why = missing ? 'there is no sudo on the host' : stderr.trim().split('\n').at(-1);
  return new DeployError(
    'sudo-unavailable',
    `${connection.user} cannot become root on ${connection.target.name}: ${why}.`,
    {
      hint: missing
        ? 'Connect as root for the first time (`user: root` in the inventory), or install sudo on the host.'
        : `Give ${connection.user} passwordless sudo on the host, or connect as root for the first time (\`user: root\`).`,
      host: connection.target.name,
    },
  );
}

async function asRootOrFail(
  connection: Connection,
  script: string,
  what: string,
  options: { input?: string | Buffer; timeout: number },
): Promise<string> {
  const output = await connection.exec(asRoot(connection.user, ['sh', '-c', script]), options);
  if (output.code === 0) return output.stdout;
  throw (
    sudoProblem(connection, output.stderr) ??
    new DeployError(
      'runner-not-brought',
      `${what} failed on ${connection.target.name}: ${output.stderr.trim() || `exit ${output.code}`}.`,
      {
        hint: /No space left/.test(output.stderr)
          ? `Free some space on the host (the runner needs ${SPACE} MB), then run the same command again.`
          : 'Mend what it says on the host, then run the same command again.',
        host: connection.target.name,
      },
    )
  );
}

/**
 * The script by which a host gets the runtime by itself; prints `here` when it has it, `missing` when it could not, and
 * `full` with the megabytes that are free where there is no room for it.
 */
function fetchScript(runtime: Runtime, folder: string, url: string | undefined): string {
  const node = `${folder}/node`;
  const archive = `${folder}.tgz`;
  const download =
    url === undefined
      ? 'false'
      : `{ timeout ${FETCH} /usr/lib/apt/apt-helper download-file ${quote(url)} ${archive} SHA512:${runtime.sha512} ||
           timeout ${FETCH} curl -fsSL -o ${archive} ${quote(url)} || timeout ${FETCH} wget -qO ${archive} ${quote(url)}; }`;
  return `set -u
if [ -x ${node} ]; then echo here; exit 0; fi
mkdir -p ${SOFTWARE}
set -- $(df -Pm ${SOFTWARE} | tail -n 1)
if [ "$4" -lt ${SPACE} ]; then echo "full $4"; exit 0; fi
${download} >/dev/null 2>&1
${unpackScript(runtime, folder)} >/dev/null 2>&1 && echo here || { rm -rf ${archive} ${folder}.new; echo missing; }`;
}

/** The script that checks a downloaded or sent runtime and puts it in place as one rename. */
function unpackScript(runtime: Runtime, folder: string): string {
  const archive = `${folder}.tgz`;
  return `{ echo ${quote(`${runtime.sha512}  ${archive}`)} | sha512sum --check --status &&
  rm -rf ${folder}.new && mkdir -p ${folder}.new &&
  tar --extract --gzip --file ${archive} --directory ${folder}.new --strip-components=2 package/bin/node &&
  ${folder}.new/node --version && rm -f ${archive} && { [ -d ${folder} ] || mv -T ${folder}.new ${folder}; }; }`;
}

async function bringRuntime(connection: Connection, machine: string, say: (message: string) => void): Promise<string> {
  const runtime = runtimeFor(machine);
  const folder = `${SOFTWARE}/node-${runtime.version}`;
  const url = await runtimeUrl(runtime);
  const fetched = await asRootOrFail(connection, fetchScript(runtime, folder, url), 'Fetching the runtime', {
    timeout: FETCH * 3 + 60,
  });
  if (fetched.trim().endsWith('here')) return folder;
  const free = /^full (\d+)/m.exec(fetched)?.[1];
  if (free !== undefined) {
    throw new DeployError('disk-full', `Only ${free} MB are free below /opt on the host.`, {
      hint: `Free at least ${SPACE} MB for the runner: look with \`du -xh --max-depth=2 / | sort -h | tail\`.`,
      host: connection.target.name,
    });
  }
  say('the host cannot fetch the runtime by itself; sending it (52 MB)');
  const archive = await runtimeArchive(runtime, url);
  await asRootOrFail(
    connection,
    `mkdir -p ${SOFTWARE}; cat > ${folder}.tgz && ${unpackScript(runtime, folder)} || { rm -rf ${folder}.tgz ${folder}.new; exit 1; }`,
    'Unpacking the runtime',
    { input: archive, timeout: 900 },
  );
  return folder;
}

async function bringBundle(connection: Connection, bundle: Bundle, incoming: string): Promise<void> {
  const file = `${incoming}/slipway-host.mjs`;
  await asRootOrFail(
    connection,
    `set -e; mkdir -p ${incoming}; gunzip > ${file}; echo ${quote(`${bundle.sha256}  ${file}`)} | sha256sum --check --status || { rm -rf ${incoming}; echo 'what arrived is not what was sent' >&2; exit 1; }`,
    'Bringing the runner',
    { input: gzipSync(bundle.content), timeout: 120 },
  );
}

/** The command that starts the runner, with the runtime beside it and V8's compiled code kept for the next start. */
function wrapper(bundle: Bundle): string {
  return `#!/bin/sh
NODE_COMPILE_CACHE=${bundle.folder}/cache exec ${bundle.folder}/node --disable-warning=ExperimentalWarning ${bundle.folder}/slipway-host.mjs "$@"
`;
}

/**
 * Brings runner and runtime to a host that lacks them: the host fetches the runtime where it can, else it is sent;
 * both are checked by hash on the host, put in place by one rename, and older runners are pruned.
 */
export async function bringRunner(
  connection: Connection,
  bundle: Bundle,
  machine: string,
  say: (message: string) => void,
): Promise<void> {
  say('bringing the runner');
  const incoming = `${SOFTWARE}/.incoming-${randomBytes(4).toString('hex')}`;
  const [brought, sent] = await Promise.allSettled([
    bringRuntime(connection, machine, say),
    bringBundle(connection, bundle, incoming),
  ]);
  if (brought.status === 'rejected' || sent.status === 'rejected') {
    const clean = asRoot(connection.user, ['rm', '-rf', incoming]);
    await connection.exec(clean, { timeout: 20 }).catch(() => undefined);
    throw brought.status === 'rejected' ? brought.reason : (sent as PromiseRejectedResult).reason;
  }
  const runtime = brought.value;
  await asRootOrFail(
    connection,
    `set -e
cd ${incoming}; ln -s ${runtime}/node node; cat > slipway-host; chmod 0755 . slipway-host
rm -rf ${bundle.folder}; mv -T ${incoming} ${bundle.folder}
ln -sfn ${bundle.folder} ${SOFTWARE}/.current; mv -T ${SOFTWARE}/.current ${SOFTWARE}/current
find ${SOFTWARE} -mindepth 1 -maxdepth 1 -name '.incoming-*' -mmin +60 -exec rm -rf {} +
ls -1dt ${SOFTWARE}/[0-9a-f]*/ | grep -vF ${bundle.folder}/ | tail -n +${KEPT + 1} | xargs -r rm -rf
for old in ${SOFTWARE}/node-*; do case "$old" in ${runtime}) ;; *) ls -l ${SOFTWARE}/*/node | grep -qF "$old/node" || rm -rf "$old";; esac; done`,
    'Putting the runner in place',
    { input: wrapper(bundle), timeout: 60 },
  );
}
