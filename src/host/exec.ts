import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { asDeployError, DeployError } from '#core/errors';
import { redactor } from '#core/redact';
import { type ExecEnd, type ExecRequest, execRequestSchema, resizeSchema } from '#protocol/exec';
import { FRAME, type Frame, frame, frames } from '#protocol/frames';
import type { Host } from '#resources/resource';
import { runningContainer } from './app-containers.ts';
import { apart, dockerConversation } from './docker-stream.ts';
import { readFacts } from './facts.ts';
import { appendLedger } from './ledger.ts';
import { createHost } from './machine.ts';

interface Running {
  readonly Running: boolean;
  readonly ExitCode: number | null;
  readonly Pid: number;
}

async function send(type: number, content?: Buffer | string): Promise<void> {
  if (process.stdout.destroyed || process.stdout.write(frame(type, content))) return;
  await new Promise<void>((resolve) => process.stdout.once('drain', resolve).once('close', resolve));
}

/** The program's own exit code; docker tells it a moment after the program's output has ended. */
async function exitCodeOf(host: Host, id: string): Promise<number> {
  for (let wait = 5; ; wait = Math.min(wait * 2, 200)) {
    const state = await host.docker<Running>(`/exec/${id}/json`);
    if (state === undefined) return 1;
    if (!state.Running) return state.ExitCode ?? 1;
    await sleep(wait);
  }
}

/** Hands on what is typed. Resolves when the laptop has gone without a word, which leaves the program without an owner. */
async function listen(host: Host, id: string, socket: Socket, incoming: AsyncGenerator<Frame>): Promise<void> {
  for await (const { type, content } of { [Symbol.asyncIterator]: () => incoming }) {
    if (type === FRAME.input && !socket.write(content)) {
      await new Promise<void>((resolve) => socket.once('drain', resolve).once('close', resolve));
    } else if (type === FRAME.inputEnd) socket.end();
    else if (type === FRAME.resize) {
      const { columns, rows } = resizeSchema.parse(JSON.parse(content.toString('utf8')));
      await host.docker(`/exec/${id}/resize?w=${columns}&h=${rows}`, { method: 'POST' }).catch(() => undefined);
    }
  }
}

async function converse(host: Host, request: ExecRequest, incoming: AsyncGenerator<Frame>): Promise<number> {
  const { app, target, command, terminal } = request;
  const container = await runningContainer(host, app, target);
  const created = await host.docker<{ Id: string }>(`/containers/${container.id}/exec`, {
    method: 'POST',
    body: {
      AttachStdin: true,
      AttachStdout: true,
      AttachStderr: true,
      Cmd: command,
      Tty: terminal !== undefined,
      ...(terminal === undefined
        ? {}
        : { Env: [`TERM=${terminal.type}`], ConsoleSize: [terminal.rows, terminal.columns] }),
    },
  });
  const id = created?.Id;
  if (id === undefined) {
    throw new DeployError('container-missing', `${container.name} has just gone.`, {
      hint: 'Run the same command again.',
    });
  }
  const isTerminal = terminal !== undefined;
  const socket = await dockerConversation(`/exec/${id}/start`, {
    Detach: false,
    Tty: isTerminal,
    ...(terminal === undefined ? {} : { ConsoleSize: [terminal.rows, terminal.columns] }),
  }).catch((error: unknown) => {
    const { message } = asDeployError(error);
    throw new DeployError('command-not-started', `\`${command[0]}\` does not start in ${container.name}: ${message}`, {
      hint: 'Check that the program exists in the image, and how it is spelt.',
    });
  });
  const redact = redactor(request.secrets);
  const args = { target, command: command.map(redact) };
  await appendLedger(app, { who: request.by, op: 'exec', args, result: 'done' });
  // Whoever typed the command has gone, so what still runs is told to go as a terminal that closes would.
  void listen(host, id, socket, incoming).then(
    async () => {
      const state = await host.docker<Running>(`/exec/${id}/json`);
      if (state?.Running === true && state.Pid > 0) process.kill(state.Pid, 'SIGHUP');
    },
    () => undefined,
  );
  socket.on('error', () => undefined);
  for await (const { stream, data } of apart(socket, isTerminal)) await send(FRAME[stream], data);
  return exitCodeOf(host, id);
}

/** Runs a command in a container; both sides speak in frames over standard input and output. */
export async function exec(): Promise<number> {
  process.on('SIGHUP', () => undefined);
  process.stdout.on('error', () => undefined);
  const incoming = frames(process.stdin);
  let end: ExecEnd;
  try {
    const first = await incoming.next();
    if (first.done === true) return 0;
    const request = execRequestSchema.parse(JSON.parse(first.value.content.toString('utf8')));
    const host = createHost(await readFacts(), { say: () => undefined, warn: () => undefined });
    end = { code: await converse(host, request, incoming) };
  } catch (thrown) {
    const { code, message, hint } = asDeployError(thrown);
    end = { error: { code, message, hint } };
  }
  await send(FRAME.ended, JSON.stringify(end));
  process.stdin.destroy();
  return 0;
}
