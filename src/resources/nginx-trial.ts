import { DeployError } from '#core/errors';
import type { Output } from '#core/run';
import type { Host } from '#resources/resource';
import { inTrialFolder } from '#resources/trial';

export const NGINX = '/etc/nginx';

// Bind mounts the copy over the real tree in a mount namespace of its own, so that every absolute path in the
// configuration means the copy and nobody else sees it.
const IN_ITS_PLACE = `mount --bind "$1" ${NGINX} && exec nginx -t -q -c ${NGINX}/nginx.conf`;

interface Complaint {
  readonly message: string;
  readonly file: string | undefined;
  readonly line: number | undefined;
}

/** What nginx complains of, from what `nginx -t` said: the first error, its file and its line. */
export function parseComplaint(stderr: string): Complaint {
  const lines = stderr
    .split('\n')
    .map((line) => line.replace(/^(?:nginx: |\d{4}\/\d\d\/\d\d [\d:]+ )/, '').trim())
    .filter((line) => line !== '');
  const said = lines.find((line) => /^\[(emerg|alert|crit|error)\]/.test(line)) ?? lines[0] ?? 'nothing was said';
  const message = said.replace(/^\[\w+\] (?:\d+#\d+: )?/, '');
  const place = / in (\/\S+?):(\d+)$/.exec(message);
  return { message, file: place?.[1], line: place?.[2] === undefined ? undefined : Number(place[2]) };
}

/** Where nginx names no line, as for a certificate that cannot be read: the line of ours with the path it names. */
function locate(complaint: Complaint, files: Readonly<Record<string, string>>): Complaint {
  const named = /"(\/[^"]+)"/.exec(complaint.message)?.[1];
  if (complaint.file !== undefined || named === undefined) return complaint;
  for (const [file, content] of Object.entries(files)) {
    const index = content.split('\n').findIndex((line) => line.includes(named));
    if (index >= 0) return { ...complaint, file, line: index + 1 };
  }
  return complaint;
}

async function quoted(host: Host, complaint: Complaint, files: Readonly<Record<string, string>>): Promise<string> {
  const { file, line } = complaint;
  if (file === undefined || line === undefined) return '';
  const text = files[file] ?? (await host.readFile(file)) ?? '';
  const found = text.split('\n')[line - 1];
  return found === undefined ? '' : `\n${line} | ${found}`;
}

/**
 * Tries a would-be configuration in a private copy of /etc/nginx, as nginx itself would read it. Nothing that is live
 * is touched; `nginx-invalid` has nginx's own words and the line, `nginx-broken-before` names a file of somebody else's.
 */
export async function tryNginx(
  host: Host,
  name: string,
  files: Readonly<Record<string, string>>,
  without: readonly string[],
  /** Files that other resources of ours will mend themselves where they are broken. */
  ours: ReadonlySet<string>,
): Promise<void> {
  // Before nginx is installed there is nothing that could try it.
  if (!(await host.has('nginx'))) return;
  await inTrialFolder(host, async (folder) => {
    const tree = `${folder}/nginx`;
    const inTree = (path: string) => `${tree}${path.slice(NGINX.length)}`;
    await host.must(['cp', '--archive', NGINX, tree]);
    if (without.length > 0) await host.must(['rm', '-f', '--', ...without.map(inTree)]);
    for (const [path, content] of Object.entries(files)) {
      await host.must(['mkdir', '-p', inTree(path).replace(/\/[^/]*$/, '')]);
      await host.must(['tee', inTree(path)], { input: content });
    }
    const attempt = (copy: string): Promise<Output> =>
      host.run(['unshare', '--mount', '--propagation', 'private', 'sh', '-c', IN_ITS_PLACE, 'trial', copy]);
    const output = await attempt(tree);
    if (output.exitCode === 0) return;
    const complaint = locate(parseComplaint(output.stderr), files);
    const line = await quoted(host, complaint, files);
    if (complaint.file !== undefined && complaint.file in files) {
      throw new DeployError('nginx-invalid', `nginx does not accept ${name}: ${complaint.message}${line}`, {
        hint: 'What runs was left as it is. Correct the template or the route behind this line.',
      });
    }
    const before = await host.run(['nginx', '-t', '-q']);
    if (before.exitCode !== 0) {
      const earlier = parseComplaint(before.stderr);
      if (earlier.file !== undefined && ours.has(earlier.file)) return;
      throw new DeployError(
        'nginx-broken-before',
        `The nginx configuration of the host was invalid before ${name} came: ${earlier.message}${await quoted(host, earlier, {})}`,
        {
          hint: `${earlier.file ?? NGINX} is not part of ${name}. Correct or remove it, and try \`nginx -t\` on the host.`,
        },
      );
    }
    throw new DeployError(
      'nginx-invalid',
      `nginx does not accept ${name} beside what is there: ${complaint.message}${line}`,
      {
        hint: 'What runs was left as it is. Each of the two is valid alone; correct one of them.',
      },
    );
  });
}
