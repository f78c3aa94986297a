import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run as runHere } from '#core/run';
import { down, list, run, type SandboxHost, up } from '#sandbox/sandbox';
import {
  type Connection,
  type ConnectOptions,
  connect,
  fetchHostKey,
  knownKeys,
  pin,
  type Target,
} from '#ssh/connection';
import { startDelayProxy } from '#test/support/delay-proxy';
import { makeKey, type Sshd, type SshdOptions, startSshd } from '#test/support/sshd';

const NAME = 'test-ssh';
let host: SandboxHost;
let folder: string;
let key: { file: string; publicKey: string };
let plain: Sshd;
let nextPort = 2201;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ssh-test-'));
  key = await makeKey(folder, 'id');
  // One that an earlier run could not take down still has that run's servers.
  if ((await list()).some(({ name }) => name === NAME)) await down([NAME]);
  host = await up({ name: NAME });
  plain = await server();
});
afterAll(async () => {
  await down([NAME]);
  rmSync(folder, { recursive: true });
});

function server(options: Partial<SshdOptions> = {}): Promise<Sshd> {
  nextPort += 1;
  return startSshd(host, folder, { port: nextPort, authorized: [key.publicKey], ...options });
}

function targetOf(sshd: Sshd, more: Partial<Target> = {}): Target {
  return { name: 'web-1', address: sshd.address, port: sshd.port, user: 'root', identityFile: key.file, ...more };
}

function optionsFor(sshd: Sshd, more: Partial<ConnectOptions> = {}): ConnectOptions {
  return { knownHosts: [sshd.knownHosts], agent: false, configFile: join(folder, 'no-config'), ...more };
}

function login(sshd: Sshd, more: { target?: Partial<Target>; options?: Partial<ConnectOptions> } = {}) {
  return connect(targetOf(sshd, more.target), optionsFor(sshd, more.options));
}

async function whoami(connection: Promise<Connection>): Promise<string> {
  await using there = await connection;
  return (await there.exec('id -un')).stdout.trim();
}

async function agentWith(files: readonly string[]): Promise<{ socket: string; stop: () => void }> {
  const socket = join(folder, `agent-${randomBytes(3).toString('hex')}`);
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
  for (let tries = 0; tries < 50; tries += 1) {
    const added = await runHere(['ssh-add', '-q', ...files], { env: { SSH_AUTH_SOCK: socket } });
    if (added.exitCode === 0) return { socket, stop: () => agent.kill() };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('ssh-agent takes no keys');
}

describe('keys', () => {
  it.each([
    ['ed25519', {}],
    ['ecdsa:256', {}],
    ['ecdsa:384', {}],
    ['ecdsa:521', {}],
    ['rsa:2048', {}],
    ['rsa:3072', { format: 'PEM' }],
  ])('of type %s %o open the door', async (type, more) => {
    const other = await makeKey(folder, `id_${randomBytes(3).toString('hex')}`, { type, ...more });
    const sshd = await server({ authorized: [other.publicKey] });
    expect(await whoami(login(sshd, { target: { identityFile: other.file } }))).toBe('root');
    expect(await sshd.log()).not.toMatch(/Failed/);
  });

  it.each([['OpenSSH'], ['PEM']])('that are encrypted (%s) are unlocked by their passphrase', async (form) => {
    const name = `locked_${form}`;
    const pem = form === 'PEM' ? { type: 'rsa:2048', format: 'PEM' } : {};
    const locked = await makeKey(folder, name, { passphrase: 'open sesame', ...pem });
    const sshd = await server({ authorized: [locked.publicKey] });
    const target = { identityFile: locked.file };
    const asked: string[] = [];
    const passphrase = (answer: string) => async (file: string) => {
      asked.push(file);
      return answer;
    };
    expect(await whoami(login(sshd, { target, options: { passphrase: passphrase('open sesame') } }))).toBe('root');
    expect(asked).toEqual([locked.file]);
    await expect(login(sshd, { target, options: { passphrase: passphrase('wrong') } })).rejects.toMatchObject({
      code: 'key-unusable',
      message: `the passphrase does not open ${locked.file}`,
    });
    await expect(login(sshd, { target })).rejects.toMatchObject({
      code: 'key-unusable',
      hint: `Load it into the agent: ssh-add ${locked.file}`,
    });
    // Nobody is asked for the passphrase of a key that the host would not take anyway.
    asked.length = 0;
    const refused = login(plain, { target, options: { passphrase: passphrase('open sesame') } });
    await expect(refused).rejects.toMatchObject({ code: 'authentication-failed' });
    expect(asked).toEqual([]);
  });

  it('that cannot be used are named, with what to do', async () => {
    const missing = join(folder, 'nowhere');
    await expect(login(plain, { target: { identityFile: missing } })).rejects.toMatchObject({
      code: 'key-unusable',
      message: `${missing} does not exist`,
    });
    const open = join(folder, 'open');
    writeFileSync(open, readFileSync(key.file), { mode: 0o644 });
    await expect(login(plain, { target: { identityFile: open } })).rejects.toMatchObject({
      code: 'key-unusable',
      message: `${open} can be read by others (mode 0644)`,
      hint: `Close it: chmod 600 ${open}`,
    });
    const garbage = join(folder, 'garbage');
    writeFileSync(garbage, 'no key\n', { mode: 0o600 });
    await expect(login(plain, { target: { identityFile: garbage } })).rejects.toMatchObject({ code: 'key-unusable' });
  });

  it('that the host does not know are told, with what it takes', async () => {
    const other = await makeKey(folder, 'stranger');
    await expect(login(plain, { target: { identityFile: other.file } })).rejects.toMatchObject({
      code: 'authentication-failed',
      exitCode: 1,
      message: expect.stringMatching(
        /root@\S+ was refused: offered: .*stranger \(SHA256:\S+\); the host takes publickey/,
      ),
      hint: expect.stringMatching(/authorized_keys/),
    });
  });
});

describe('an agent with six keys', () => {
  let agent: { socket: string; stop: () => void };
  let keys: { file: string; publicKey: string }[];
  let strict: Sshd;
  beforeAll(async () => {
    keys = [];
    for (let index = 0; index < 6; index += 1) keys.push(await makeKey(folder, `agent_${index}`));
    agent = await agentWith(keys.map(({ file }) => file));
    strict = await server({ authorized: [keys[5]?.publicKey ?? ''], lines: ['MaxAuthTries 3'] });
  });
  afterAll(() => agent.stop());

  it('locks itself out of a strict host, and says how not to', async () => {
    const all = login(strict, { target: { identityFile: undefined }, options: { agent: agent.socket } });
    await expect(all).rejects.toMatchObject({
      code: 'authentication-failed',
      message: expect.stringMatching(/Too many authentication failures/),
      hint: expect.stringMatching(/identityFile of web-1 in the inventory/),
    });
  });

  it('offers the one that is named, of which this machine has only the public half', async () => {
    const file = join(folder, 'public_only');
    writeFileSync(`${file}.pub`, `${keys[5]?.publicKey}\n`);
    const before = await strict.log();
    const named = login(strict, { target: { identityFile: file }, options: { agent: agent.socket } });
    expect(await whoami(named)).toBe('root');
    expect((await strict.log()).slice(before.length).match(/userauth-request/g)).toHaveLength(1);
  });

  it('offers the one that the configuration names first', async () => {
    const configFile = join(folder, 'config_agent');
    writeFileSync(configFile, `Host *\n IdentityFile ${keys[5]?.file}\n`);
    const target = { identityFile: undefined };
    expect(await whoami(login(strict, { target, options: { agent: agent.socket, configFile } }))).toBe('root');
  });

  it('signs for an encrypted key that it holds, so that no passphrase is asked', async () => {
    const locked = await makeKey(folder, 'locked_in_agent');
    const holding = await agentWith([locked.file]);
    const sealed = ['ssh-keygen', '-q', '-p', '-P', '', '-N', 'secret', '-f', locked.file];
    expect((await runHere(sealed)).exitCode).toBe(0);
    const sshd = await server({ authorized: [locked.publicKey] });
    const target = { identityFile: locked.file };
    expect(await whoami(login(sshd, { target, options: { agent: holding.socket } }))).toBe('root');
    holding.stop();
  });

  it('signs with an RSA key by the hash the host wants', async () => {
    const rsa = await makeKey(folder, 'rsa_in_agent', { type: 'rsa:2048' });
    const holding = await agentWith([rsa.file]);
    const sshd = await server({ authorized: [rsa.publicKey] });
    const target = { identityFile: undefined };
    expect(await whoami(login(sshd, { target, options: { agent: holding.socket } }))).toBe('root');
    holding.stop();
  });

  it('that does not answer does not matter where a key file is at hand', async () => {
    expect(await whoami(login(plain, { options: { agent: join(folder, 'no-agent') } }))).toBe('root');
  });
});

describe('passwords', () => {
  const PASSWORD = 'correct horse';
  beforeAll(async () => {
    await run(NAME, ['chpasswd'], { input: `root:${PASSWORD}\n` });
  });
  const asking = (answer: string) => {
    const questions: string[] = [];
    const password = async (question: string) => {
      questions.push(question);
      return answer;
    };
    return { questions, password };
  };
  const stranger = async () => (await makeKey(folder, `s_${randomBytes(3).toString('hex')}`)).file;

  it.each([['PasswordAuthentication yes'], ['KbdInteractiveAuthentication yes']])(
    'are asked for where keys are refused: %s',
    async (line) => {
      const sshd = await server({ lines: [line] });
      const target = { identityFile: await stranger() };
      const right = asking(PASSWORD);
      expect(await whoami(login(sshd, { target, options: right }))).toBe('root');
      expect(right.questions).toEqual([expect.stringMatching(/root@.*: $/)]);
      const wrong = asking('wrong');
      await expect(login(sshd, { target, options: wrong })).rejects.toMatchObject({
        code: 'authentication-failed',
        hint: expect.stringMatching(/Check the user name and the password/),
      });
      expect(wrong.questions).toHaveLength(1);
      await expect(login(sshd, { target })).rejects.toMatchObject({
        code: 'authentication-failed',
        hint: expect.stringMatching(/--ask-password/),
      });
      // A key that opens the door asks nobody.
      expect(await whoami(login(sshd, { options: wrong }))).toBe('root');
      expect(wrong.questions).toHaveLength(1);
    },
  );

  it('are not asked for where the host takes none', async () => {
    const { questions, password } = asking(PASSWORD);
    const target = { identityFile: await stranger() };
    await expect(login(plain, { target, options: { password } })).rejects.toMatchObject({
      code: 'authentication-failed',
    });
    expect(questions).toEqual([]);
  });

  it('come after a key where the host wants both', async () => {
    const sshd = await server({
      lines: ['PasswordAuthentication yes', 'AuthenticationMethods publickey,password'],
    });
    expect(await whoami(login(sshd, { options: asking(PASSWORD) }))).toBe('root');
    await expect(login(sshd)).rejects.toMatchObject({
      code: 'authentication-failed',
      message: expect.stringMatching(/taken as a first step; the host takes password/),
    });
  });

  it('work without any key, as on a fresh VPS', async () => {
    const sshd = await server({ lines: ['PasswordAuthentication yes'] });
    const configFile = join(folder, 'config_none');
    writeFileSync(configFile, 'IdentityFile none\n');
    const options = { ...asking(PASSWORD), configFile };
    expect(await whoami(login(sshd, { target: { identityFile: undefined }, options }))).toBe('root');
  });
});

describe('host keys', () => {
  it('that are not pinned are shown, and trusted only by an explicit act', async () => {
    const sshd = await server();
    const file = join(folder, 'trusted', 'known_hosts');
    const options = optionsFor(sshd, { knownHosts: [file] });
    const fingerprint = await sshd.fingerprint('ed25519');
    await expect(connect(targetOf(sshd), options)).rejects.toMatchObject({
      code: 'host-key-unknown',
      message: expect.stringContaining(`ssh-ed25519 ${fingerprint}`),
      hint: expect.stringMatching(/deploy trust/),
    });
    expect(await sshd.log()).not.toMatch(/userauth-request/);
    const presented = await fetchHostKey(targetOf(sshd), options);
    expect(presented.fingerprint).toBe(fingerprint);
    expect(await sshd.log()).not.toMatch(/userauth-request/);
    expect(knownKeys(targetOf(sshd), options)).toEqual([]);
    pin(file, targetOf(sshd), presented);
    expect(await whoami(connect(targetOf(sshd), options))).toBe('root');
    const found = await runHere(['ssh-keygen', '-F', `[${sshd.address}]:${sshd.port}`, '-f', file]);
    expect(found.exitCode).toBe(0);
  });

  it('that changed are refused with both fingerprints and the line', async () => {
    const sshd = await server();
    const before = await sshd.fingerprint('ed25519');
    await sshd.reinstall();
    const after = await sshd.fingerprint('ed25519');
    const failure = await login(sshd).catch((error: unknown) => error as Error & { code: string; hint: string });
    expect(failure).toMatchObject({ code: 'host-key-changed', exitCode: 1 });
    const { message, hint } = failure as Error & { hint: string };
    expect(message).toContain(`pinned:   ssh-ed25519 ${before} (${sshd.knownHosts}:1)`);
    expect(message).toContain(`presents: ssh-ed25519 ${after}`);
    expect(hint).toContain(`line 1 of ${sshd.knownHosts}`);
  });

  it('are asked for in the type that is pinned', async () => {
    const sshd = await server({ hostKeys: ['rsa', 'ecdsa', 'ed25519'] });
    expect(readFileSync(sshd.knownHosts, 'utf8')).toContain('ssh-rsa');
    expect(await whoami(login(sshd))).toBe('root');
  });

  it('that are revoked are refused', async () => {
    const line = readFileSync(plain.knownHosts, 'utf8');
    const file = join(folder, 'revoked');
    writeFileSync(file, `${line}@revoked ${line}`);
    const refused = login(plain, { options: { knownHosts: [file] } });
    await expect(refused).rejects.toMatchObject({
      code: 'host-key-revoked',
      message: expect.stringContaining(`${file}:2`),
    });
  });
});

describe('the configuration of OpenSSH', () => {
  it('leads through other hosts, each with its own pinned key', async () => {
    const gate = await server({ lines: ['AllowTcpForwarding yes'] });
    const inner = await server({ lines: ['AllowTcpForwarding yes'] });
    const goal = await server({ address: '127.0.0.1' });
    const configFile = join(folder, 'config_jump');
    writeFileSync(
      configFile,
      `Host goal
 HostName 127.0.0.1
 Port ${goal.port}
 User root
 IdentityFile ${key.file}
 ProxyJump root@gate,inner
Host gate
 HostName ${gate.address}
 Port ${gate.port}
 IdentityFile ${key.file}
Host inner
 HostName ${inner.address}
 Port ${inner.port}
 User root
 IdentityFile ${key.file}
`,
    );
    const target: Target = { name: 'goal', address: 'goal' };
    const knownHosts = [gate.knownHosts, inner.knownHosts, goal.knownHosts];
    const options = optionsFor(goal, { knownHosts, configFile });
    expect(await whoami(connect(target, options))).toBe('root');
    expect(await gate.log()).toMatch(/direct-tcpip/);
    expect(await inner.log()).toMatch(/direct-tcpip/);
    const untrusted = connect(target, { ...options, knownHosts: [gate.knownHosts, goal.knownHosts] });
    await expect(untrusted).rejects.toMatchObject({ code: 'host-key-unknown', host: 'inner' });
    const unknownGoal = { ...options, knownHosts: [gate.knownHosts, inner.knownHosts] };
    await expect(connect(target, unknownGoal)).rejects.toMatchObject({ code: 'host-key-unknown', host: 'goal' });
    expect((await fetchHostKey(target, unknownGoal)).fingerprint).toBe(await goal.fingerprint('ed25519'));

    await using connection = await connect(target, options);
    const broken = expect(connection.exec('sleep 30')).rejects.toMatchObject({ code: 'connection-lost' });
    await inner.kill();
    await broken;
  });

  it('is told where a hop opens no way', async () => {
    const gate = await server({ lines: ['AllowTcpForwarding no'] });
    const configFile = join(folder, 'config_closed');
    writeFileSync(configFile, `IdentityFile ${key.file}\nHost goal\n ProxyJump root@${gate.address}:${gate.port}\n`);
    const closed = connect({ name: 'goal', address: 'goal', user: 'root' }, optionsFor(gate, { configFile }));
    await expect(closed).rejects.toMatchObject({ code: expect.stringMatching(/session-refused|host-unreachable/) });
  });
});

it('reaches a host over IPv6', async () => {
  const sshd = await server({ address: host.address6 });
  expect(await whoami(login(sshd))).toBe('root');
  expect(await whoami(login(sshd, { target: { address: `[${host.address6}]`, family: 6 } }))).toBe('root');
});

describe('a session', () => {
  let connection: Connection;
  beforeAll(async () => {
    connection = await login(plain);
  });
  afterAll(() => connection.close());

  it('tells exit codes, both outputs, and leaves them as they are', async () => {
    const output = await connection.exec("printf ' out\\n\\n'; printf 'err' >&2; exit 42");
    expect(output).toEqual({ code: 42, stdout: ' out\n\n', stderr: 'err' });
  });

  it('tells a death by signal', async () => {
    await expect(connection.exec('kill -9 $$')).rejects.toMatchObject({
      code: 'remote-command-killed',
      message: expect.stringMatching(/SIGKILL/),
    });
  });

  it('passes input on, byte by byte the same', async () => {
    const bytes = randomBytes(3_000_000);
    const { stdout } = await connection.exec('sha256sum', {
      input: Readable.from([bytes.subarray(0, 7), bytes.subarray(7)]),
    });
    expect(stdout.slice(0, 64)).toBe(createHash('sha256').update(bytes).digest('hex'));
  });

  it('keeps characters whole that are split over packets', async () => {
    const text = 'naïve 世界 🚀';
    const bytes = [...Buffer.from(text)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`);
    const drip = bytes.map((byte) => `printf '${byte}'; sleep 0.005`).join('; ');
    expect((await connection.exec(drip)).stdout).toBe(text);
    const session = await connection.open(drip);
    const lines: string[] = [];
    for await (const line of session.lines()) lines.push(line);
    expect(lines).toEqual([text]);
  });

  it('runs twenty commands at once, also where the host allows fewer', async () => {
    const twenty = (on: Connection) =>
      Promise.all(Array.from({ length: 20 }, (_, index) => on.exec(`sleep 0.1; echo ${index}; exit ${index}`)));
    const expected = Array.from({ length: 20 }, (_, index) => ({ code: index, stdout: `${index}\n`, stderr: '' }));
    expect(await twenty(connection)).toEqual(expected);
    await using narrow = await login(await server({ lines: ['MaxSessions 2'] }));
    expect(await twenty(narrow)).toEqual(expected);
  });

  it('talks to and fro, and tells the end', async () => {
    const session = await connection.open('while read word; do echo "heard $word"; done; echo last >&2; exit 5');
    const lines = session.lines()[Symbol.asyncIterator]();
    for (const word of ['one', 'zwei', '三']) {
      await session.write(`${word}\n`);
      expect(await lines.next()).toEqual({ done: false, value: `heard ${word}` });
    }
    session.end();
    expect(await lines.next()).toEqual({ done: true, value: undefined });
    expect(await session.closed).toEqual({ code: 5 });
    expect(session.stderr).toBe('last\n');
  });

  it('holds back a host that prints faster than anybody reads', async () => {
    const session = await connection.open('yes 0123456789 | head -c 30000000; echo; echo done');
    await new Promise((resolve) => setTimeout(resolve, 300));
    let lines = 0;
    for await (const line of session.lines()) if (line === '0123456789') lines += 1;
    expect(lines).toBe(Math.floor(30_000_000 / 11));
  });

  it('ends what runs when it is told to, where the host lets a user signal', async () => {
    await run(NAME, ['useradd', '--create-home', '--shell', '/bin/bash', 'ops']);
    await using user = await login(plain, { target: { user: 'ops' } });
    const controller = new AbortController();
    const session = await user.open('echo begun; exec sleep 4321', { signal: controller.signal });
    for await (const line of session.lines()) if (line === 'begun') controller.abort();
    await session.closed;
    const late = user.exec('exec sleep 4322', { timeout: 0.3 });
    await expect(late).rejects.toMatchObject({ code: 'deadline-exceeded' });
    expect((await user.exec('sleep 0.2; pgrep -fx "sleep 432[12]"')).stdout).toBe('');
  });
});

describe('a host that dies', () => {
  it('in the middle of a command is an error with a next step', async () => {
    const sshd = await server();
    await using connection = await login(sshd);
    const broken = expect(connection.exec('sleep 60')).rejects.toMatchObject({
      code: 'connection-lost',
      hint: expect.stringMatching(/deploy attach/),
    });
    const session = await connection.open('echo begun; sleep 60');
    const lines = session.lines()[Symbol.asyncIterator]();
    await lines.next();
    await sshd.kill();
    await broken;
    await expect(lines.next()).rejects.toMatchObject({ code: 'connection-lost' });
    await expect(connection.exec('true')).rejects.toMatchObject({ code: 'connection-lost' });
    await expect(login(sshd)).rejects.toMatchObject({ code: 'host-unreachable' });
  });
});

describe('an upload', () => {
  const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

  it('of 60 MB arrives whole, with its mode, and tells how far it is', async () => {
    await using connection = await login(plain);
    const bytes = randomBytes(60_000_000);
    const local = join(folder, 'large');
    writeFileSync(local, bytes);
    const progress: number[] = [];
    await connection.upload(local, '/root/from file', { mode: 0o640, onProgress: (sent) => progress.push(sent) });
    await connection.upload(bytes, '/root/from-buffer');
    await connection.upload(Readable.from([bytes.subarray(0, 1000), bytes.subarray(1000)]), '/root/from-stream');
    const { stdout } = await connection.exec(
      "cd /root; sha256sum -b 'from file' from-* | cut -c1-64; stat -c %a from*; ls",
    );
    const lines = stdout.split('\n');
    expect(lines.slice(0, 3)).toEqual([hash(bytes), hash(bytes), hash(bytes)]);
    expect(lines.slice(3, 6)).toEqual(['640', '644', '644']);
    expect(stdout).not.toMatch(/part/);
    expect(progress.at(-1)).toBe(bytes.length);
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
  });

  it('that breaks off leaves the old file as it was', async () => {
    await using steady = await login(plain);
    await steady.upload(Buffer.from('old'), '/root/kept');
    for (const source of [
      Buffer.alloc(40_000_000),
      Readable.from([Buffer.alloc(20_000_000), Buffer.alloc(20_000_000)]),
    ]) {
      const proxy = await startDelayProxy({ host: plain.address, port: plain.port, oneWay: 20 });
      const near = { address: '127.0.0.1', port: proxy.port };
      const alias = join(folder, 'proxied');
      pin(alias, targetOf(plain, near), await fetchHostKey(targetOf(plain, near), optionsFor(plain)));
      const connection = await login(plain, { target: near, options: { knownHosts: [alias] } });
      const upload = connection.upload(source, '/root/kept', {
        onProgress: (sent) => sent > 8_000_000 && proxy.reset(),
      });
      await expect(upload).rejects.toMatchObject({ code: 'connection-lost' });
      await connection.close();
      await proxy.stop();
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect((await steady.exec('cat /root/kept')).stdout).toBe('old');
    }
  });

  it('that cannot be written says why', async () => {
    await using connection = await login(plain);
    await expect(connection.upload(Buffer.from('x'), '/nowhere/file')).rejects.toMatchObject({
      code: 'upload-failed',
      message: expect.stringMatching(
        /\/nowhere\/file could not be written on web-1: .*(No such|nonexistent|Directory)/i,
      ),
    });
    await connection.exec('mkdir -p /root/folder');
    await expect(connection.upload(Buffer.from('x'), '/root/folder')).rejects.toMatchObject({ code: 'upload-failed' });
    expect((await connection.exec('ls /root/folder* -d')).stdout).toBe('/root/folder\n');
  });
});

describe('over a line of 40 ms', () => {
  it('takes fewer turns than OpenSSH, and logs in at the first attempt', async () => {
    const proxy = await startDelayProxy({ host: plain.address, port: plain.port, oneWay: 20 });
    const near = { address: '127.0.0.1', port: proxy.port };
    const file = join(folder, 'far');
    pin(file, targetOf(plain, near), await fetchHostKey(targetOf(plain, near), optionsFor(plain)));
    const before = proxy.turns();
    const logged = (await plain.log()).length;
    const connection = await login(plain, { target: near, options: { knownHosts: [file], ahead: 'echo ahead' } });
    expect(await connection.exec('echo ahead')).toEqual({ code: 0, stdout: 'ahead\n', stderr: '' });
    const ours = proxy.turns() - before;
    await connection.close();
    const said = (await plain.log()).slice(logged);
    expect(said).not.toMatch(/Failed|Postponed|unexpected|error:/);
    expect(said.match(/userauth-request/g)).toHaveLength(1);
    const options = [
      '-F',
      'none',
      '-o',
      `UserKnownHostsFile=${file}`,
      '-o',
      'IdentitiesOnly=yes',
      '-o',
      'IdentityAgent=none',
    ];
    const at = proxy.turns();
    const theirs = await runHere([
      'ssh',
      ...options,
      '-i',
      key.file,
      '-p',
      String(proxy.port),
      'root@127.0.0.1',
      'true',
    ]);
    expect(theirs.exitCode).toBe(0);
    expect(ours).toBeLessThan(proxy.turns() - at);
    await proxy.stop();
  });
});
