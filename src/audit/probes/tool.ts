import type { Found, HostProbe } from '#audit/audit';
import { dockerBenchFigures, lynisFigures, sshAuditFigures } from '#audit/figures';
import { asDeployError } from '#core/errors';
import type { Host } from '#resources/resource';

const RECORDS = '/var/lib/slipway/audit';
const LYNIS_REPORT = '/var/log/lynis-report.dat';
/** Seconds: Lynis looks at every file system, docker-bench at every container. */
const PATIENCE = 300;

interface Tool {
  /** Names it may be installed under. */
  readonly programs: readonly string[];
  /** What installs it on Debian. */
  readonly install: string;
  figures(host: Host, program: string): Promise<string>;
}

const TOOLS: Readonly<Record<string, Tool>> = {
  'ssh-audit': {
    programs: ['ssh-audit'],
    install: 'apt-get install ssh-audit',
    async figures(host, program) {
      const port = String(host.facts.sshPort ?? 22);
      const output = await host.run([program, '--no-colors', '--port', port, '127.0.0.1'], { timeout: PATIENCE });
      return sshAuditFigures(output.stdout, output.exitCode);
    },
  },
  lynis: {
    programs: ['lynis', '/usr/sbin/lynis'],
    install: 'apt-get install lynis',
    async figures(host, program) {
      const old = await host.readFile(LYNIS_REPORT);
      await host.run([program, 'audit', 'system', '--quick', '--quiet', '--no-colors'], { timeout: PATIENCE });
      const report = await host.readFile(LYNIS_REPORT);
      // A run that was cut short leaves the report of an earlier one.
      return lynisFigures(report === old ? '' : (report ?? ''));
    },
  },
  'docker-bench': {
    programs: ['docker-bench-security', 'docker-bench-security.sh'],
    install: 'git clone https://github.com/docker/docker-bench-security, with its script linked into /usr/local/bin',
    async figures(host, program) {
      const output = await host.run([program, '-b', '-p'], { timeout: PATIENCE });
      return dockerBenchFigures(output.stdout);
    },
  },
};

interface Figures {
  readonly value: string;
  readonly on: string;
}

async function recorded(host: Host, name: string): Promise<Figures | undefined> {
  const text = await host.readFile(`${RECORDS}/${name}.json`);
  return text === undefined ? undefined : (JSON.parse(text) as Figures);
}

async function runTool(host: Host, name: string): Promise<Found> {
  const tool = TOOLS[name];
  if (tool === undefined) return { cannot: `an audit knows no tool \`${name}\`` };
  for (const program of tool.programs) {
    const isThere = program.startsWith('/') ? (await host.stat(program)) !== undefined : await host.has(program);
    if (!isThere) continue;
    host.say(`running ${name}`);
    const before = await recorded(host, name);
    const value = await tool.figures(host, program);
    const record: Figures = { value, on: new Date().toISOString().slice(0, 10) };
    await host.writeFile(`${RECORDS}/${name}.json`, `${JSON.stringify(record)}\n`, {
      mode: '0600',
      owner: 'root',
      group: 'root',
    });
    return { value, ...(before === undefined ? {} : { before }) };
  }
  return { cannot: `it is not installed: \`${tool.install}\`` };
}

/** Keys are `ssh-audit`, `lynis` and `docker-bench`; one after the other, so that none disturbs the next. */
export const tool: HostProbe = {
  name: 'tool',
  async ask(host, keys) {
    const found = new Map<string, Found>();
    for (const key of keys) {
      const figures = runTool(host, key).catch((error: unknown) => ({ failed: asDeployError(error).message }));
      found.set(key, await figures);
    }
    return found;
  },
};
