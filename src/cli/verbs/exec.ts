import { oneHost, visit, whoAsks } from '#cli/ask';
import { projectDirectory } from '#cli/project';
import type { Verb } from '#cli/verb';
import { ERROR_CODES, type ErrorCode } from '#core/error-codes';
import { DeployError } from '#core/errors';
import { loadEnvironment } from '#inventory/load';
import { type ExecEnd, type ExecRequest, execEndSchema } from '#protocol/exec';
import { FRAME, frame, frames } from '#protocol/frames';
import { asRoot } from '#ssh/runner';
import type { Session } from '#ssh/session';

interface ExecOptions {
  readonly host?: string;
  readonly project?: string;
}

const size = () => ({ columns: process.stdout.columns, rows: process.stdout.rows });

async function write(stream: NodeJS.WriteStream, content: Buffer): Promise<void> {
  if (!stream.write(content)) await new Promise((resolve) => stream.once('drain', resolve));
}

/** Sends what is typed or piped in, to its end. */
async function feed(session: Session): Promise<void> {
  for await (const chunk of process.stdin) await session.write(frame(FRAME.input, chunk as Buffer));
  await session.write(frame(FRAME.inputEnd));
}

async function converse(session: Session, request: ExecRequest): Promise<ExecEnd | undefined> {
  const isTerminal = request.terminal !== undefined;
  const resize = () => void session.write(frame(FRAME.resize, JSON.stringify(size()))).catch(() => undefined);
  await session.write(frame(FRAME.request, JSON.stringify(request)));
  if (isTerminal) {
    process.stdin.setRawMode(true);
    process.stdout.on('resize', resize);
  }
  // That the command no longer reads is no failure.
  feed(session).catch(() => undefined);
  try {
    for await (const { type, content } of frames(session.bytes())) {
      if (type === FRAME.stdout) await write(process.stdout, content);
      else if (type === FRAME.stderr) await write(process.stderr, content);
      else if (type === FRAME.ended) return execEndSchema.parse(JSON.parse(content.toString('utf8')));
    }
    return undefined;
  } finally {
    if (isTerminal) {
      process.stdin.setRawMode(false);
      process.stdout.off('resize', resize);
    }
    process.stdin.destroy();
  }
}

async function exec(name: string, target: string, command: readonly string[], options: ExecOptions): Promise<number> {
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const host = oneHost(environment, options.host);
  const isTerminal = process.stdin.isTTY === true && process.stdout.isTTY === true;
  await using there = await visit(environment, host, () => undefined);
  there.session.close();
  const { connection, bundle } = there;
  const session = await connection.open(asRoot(connection.user, [`${bundle.folder}/slipway-host`, 'exec']));
  const end = await converse(session, {
    app: environment.app,
    target,
    command: [...command],
    by: whoAsks(),
    environment: environment.name,
    secrets: Object.values(environment.secrets),
    ...(isTerminal ? { terminal: { type: process.env.TERM ?? 'xterm', ...size() } } : {}),
  });
  if (end === undefined) {
    throw new DeployError('operation-died', `The runner ended without a last word: ${session.stderr.trim()}`, {
      hint: 'Run the same command again.',
      host: host.name,
    });
  }
  if ('code' in end) return end.code;
  const { code, message, hint } = end.error;
  const known = code in ERROR_CODES ? (code as ErrorCode) : 'internal';
  throw new DeployError(known, message, { hint: hint.replaceAll('<environment>', name), host: host.name });
}

export const verb: Verb = {
  define(command) {
    command
      .usage('[options] <environment> <service> -- <command...>')
      .argument('<environment>', 'the environment: a file below inventory/, without .yaml')
      .argument('<service>', 'a service or an accessory')
      .argument('<command...>', 'what to run in its container, behind --')
      .option('--host <name>', 'which host, where there are several')
      .option('--project <folder>', 'the folder that holds inventory/')
      .addHelpText(
        'after',
        '\nRuns in a container of the live slot, in a terminal where you are at one, and\nexits with its own code. Who ran what is kept on the host: see\n`deploy history`.',
      )
      .action(async (environment: string, service: string, words: readonly string[], options: ExecOptions) => {
        process.exitCode = await exec(environment, service, words, options);
      });
  },
};
