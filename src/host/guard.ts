import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DeployError } from '#core/errors';
import type { ProofRefusal, Way, WaysAnswer } from '#protocol/plan';
import { readUsers } from '#resources/accounts';
import type { Host } from '#resources/resource';
import { isAbsent, listIfThere, ownDirectory, readTextIfThere } from './files.ts';
import { guardFolder } from './guard-proof.ts';
import { takeSnapshot } from './guard-snapshot.ts';
import { BOOT_UNIT, bootUnit, THIS_BOOT, undoScript } from './guard-undo.ts';
import type { Emit } from './journal.ts';
import { loginFaults } from './login-faults.ts';
import { bannedClient } from './login-faults-way.ts';
import { PATHS } from './paths.ts';

/** Seconds after which the host undoes an unproven change by itself, counted from before the first such change. */
const FUSE = 180;

/** Seconds the fresh logins may take: less than a laptop that hears nothing at all waits for its connection. */
const PROOF = 40;

/** Seconds the laptop has to find out which ways in work; a person may be asked for a passphrase meanwhile. */
const ANSWER = 60;

/** Milliseconds between looks for a mark of a proof. */
const POLL = 20;

/** Milliseconds that the other families' logins may still take once one has failed, so that all of it is told. */
const OTHERS = 1500;

/** Milliseconds between questions to fail2ban: a ban cuts off whoever is to prove, and what they say of it. */
const BANS = 2000;

/** What the laptop says while an operation runs. */
export interface Laptop {
  /** Which ways in work; undefined while it has not said. */
  ways(): WaysAnswer | undefined;
  /** Why logins for a guard failed, as far as it was said. */
  refusals(guard: string): readonly ProofRefusal[];
  /** Whether its side was closed: whoever would have proven access is gone, or the change has cut them off. */
  isGone(): boolean;
}

type Through = 'fresh' | 'open';

/**
 * The dead man's switch around changes that could lock the owner out: a snapshot, a timer of the host's own and a unit
 * for its next boot, armed before the first such change, and disarmed only when a fresh login has proven access over every
 * address family over which one worked before.
 */
export class Guard {
  readonly #host: Host;
  readonly #emit: Emit;
  readonly #user: string;
  readonly #laptop: Laptop;
  #id = `${Date.now().toString(36)}-${process.pid}`;
  #ways: readonly Way[] | undefined;
  #armed = false;

  constructor(host: Host, emit: Emit, user: string, laptop: Laptop) {
    this.#host = host;
    this.#emit = emit;
    this.#user = user;
    this.#laptop = laptop;
  }

  get isArmed(): boolean {
    return this.#armed;
  }

  get #folder(): string {
    return guardFolder(this.#id);
  }

  /** Takes over a guard whose run was killed: its snapshot is of the last state that was proven, so it stays. */
  async inherit(): Promise<void> {
    const [left] = await unprovenGuards(this.#host);
    if (left === undefined) return;
    await this.#host.run(['systemctl', 'stop', `${unitOf(left)}.timer`]);
    this.#id = left;
    const ways = await readTextIfThere(join(this.#folder, 'ways'));
    if (ways === undefined || (await readTextIfThere(join(this.#folder, 'armed'))) === undefined) {
      // It was being undone, or tidied up, when the host went down.
      await this.#runUndo();
      return;
    }
    this.#ways = JSON.parse(ways) as Way[];
    await this.#light(this.#ways);
  }

  /** Snapshots and lights the fuse, before the first guarded change. */
  async arm(): Promise<void> {
    if (this.#armed) {
      if ((await readTextIfThere(join(this.#folder, 'armed'))) !== undefined) return;
      return this.#burntDown();
    }
    this.#ways ??= await this.#askWays();
    // Made beside its place and moved there whole, so that a guard that is found is complete.
    const making = join(PATHS.state, `.guard-${this.#id}`);
    // A run that was killed while it made one has left it: with a copy of /etc/shadow in it.
    const left = (await this.#host.list(PATHS.state)).filter((name) => name.startsWith('.guard-'));
    for (const name of left) await rm(join(PATHS.state, name), { recursive: true, force: true });
    await ownDirectory(making);
    const before = await takeSnapshot(this.#host, making);
    const families = this.#ways.map(({ family }) => family);
    const script = undoScript({
      folder: this.#folder,
      before,
      families,
      client: this.#host.facts.clientAddress,
    });
    await writeFile(join(making, 'undo.sh'), script, { mode: 0o700 });
    await writeFile(join(making, 'ways'), JSON.stringify(this.#ways), { mode: 0o600 });
    await writeFile(join(making, 'armed'), '', { mode: 0o600 });
    await ownDirectory(PATHS.guards);
    await this.#host.must(['sync', making, ...(await listIfThere(making)).map((name) => join(making, name))]);
    await rename(making, this.#folder);
    await this.#light(this.#ways);
  }

  async #askWays(): Promise<readonly Way[]> {
    this.#emit({ type: 'guard.ways-wanted', seconds: ANSWER });
    const deadline = performance.now() + ANSWER * 1000;
    while (this.#laptop.ways() === undefined && !this.#laptop.isGone() && performance.now() < deadline) {
      await sleep(POLL);
    }
    const { ways, broken } = this.#laptop.ways() ?? { ways: [], broken: [] };
    if (ways.length === 0) {
      const why = broken.map((way) => `${way.why} (${familyName(way)})`).join('; ');
      throw new DeployError(
        'guard-not-armed',
        `Nothing that could lock you out was changed: ${why === '' ? 'nobody was there to say which ways in work' : `not even now does a fresh login work: ${why}`}.`,
        { hint: 'Mend what it says, then run the same command again.' },
      );
    }
    for (const way of broken) {
      this.#host.warn(
        `${familyName(way)} does not work, and did not before this run: ${way.why}. Only ${ways.map(familyName).join(' and ')} will be proven.`,
        'The run goes on. Where it should work, mend it; where it should not, say so with `family` of the host in the inventory.',
      );
    }
    return ways;
  }

  async #light(ways: readonly Way[]): Promise<void> {
    await mkdir(dirname(THIS_BOOT), { recursive: true });
    await writeFile(THIS_BOOT, '');
    // systemd reads it at the next boot only, so it need not be told of it now.
    await writeFile(BOOT_UNIT.path, bootUnit(this.#folder), { mode: 0o644 });
    await mkdir(dirname(BOOT_UNIT.wanted), { recursive: true });
    await rm(BOOT_UNIT.wanted, { force: true });
    await symlink(BOOT_UNIT.path, BOOT_UNIT.wanted);
    await this.#host.must(['sync', BOOT_UNIT.path, dirname(BOOT_UNIT.wanted), PATHS.guards]);
    await this.#host.must([
      'systemd-run',
      `--unit=${unitOf(this.#id)}`,
      `--on-active=${FUSE}`,
      '--timer-property=AccuracySec=1s',
      '--quiet',
      '/bin/sh',
      join(this.#folder, 'undo.sh'),
    ]);
    this.#armed = true;
    this.#emit({ type: 'guard.armed', guard: this.#id, seconds: FUSE, user: this.#user, ways: [...ways] });
  }

  /** Waits for the fresh logins; keeps the change when all have come, undoes it when one has failed. */
  async prove(): Promise<void> {
    const ways = this.#ways ?? [];
    this.#emit({ type: 'guard.proof-wanted', guard: this.#id, seconds: PROOF, user: this.#user, ways: [...ways] });
    const deadline = performance.now() + PROOF * 1000;
    let ban: string | undefined;
    const watch = setInterval(() => {
      bannedClient(this.#host).then(
        (found) => {
          ban ??= found;
        },
        () => undefined,
      );
    }, BANS);
    try {
      await this.#awaitProof(ways, deadline, () => ban);
    } finally {
      clearInterval(watch);
    }
  }

  async #awaitProof(ways: readonly Way[], deadline: number, ban: () => string | undefined): Promise<void> {
    let refusedAt: number | undefined;
    for (;;) {
      const marks = await Promise.all(ways.map(({ family }) => readTextIfThere(this.#mark(family))));
      if (marks.every((mark) => mark !== undefined)) {
        return this.#disarm(ways.map((way, at) => ({ ...way, through: marks[at] === 'open' ? 'open' : 'fresh' })));
      }
      const missing = ways.filter((_, at) => marks[at] === undefined);
      const refusals = this.#laptop.refusals(this.#id);
      if (refusals.length > 0) {
        refusedAt ??= performance.now();
        const isAll = refusals.length >= missing.length || performance.now() - refusedAt > OTHERS;
        if (isAll) return this.#fail(refusals.map(({ failure }) => failure).join('; '), refusals);
      }
      const over = missing.map(familyName).join(' and ');
      const port = this.#host.facts.sshPort ?? 22;
      const silent = missing.map(({ family }) => ({ guard: this.#id, family, port, failure: '' }));
      const banned = ban();
      if (banned !== undefined) return this.#fail(banned, []);
      if (this.#laptop.isGone()) return this.#fail('the connection that would have proven it was lost', silent);
      if (performance.now() >= deadline) {
        return this.#fail(`no fresh login as ${this.#user} over ${over} succeeded within ${PROOF} s`, silent);
      }
      await sleep(POLL);
    }
  }

  #mark(family: number): string {
    return join(this.#folder, `proven-${family}`);
  }

  async #fail(reason: string, refusals: readonly ProofRefusal[]): Promise<never> {
    // What is wrong can only be seen before it is undone; looking must never keep it from being undone.
    const found = await Promise.all(
      refusals.map((refusal) => loginFaults(this.#host, { user: this.#user, ...refusal }).catch(() => [])),
    );
    const faults = [...new Set(found.flat())];
    const said = [reason, ...(faults.length === 0 ? [] : [`on the host, ${faults.join('; ')}`])].join('; ');
    await this.undo(said);
    throw undone(said, this.#user);
  }

  /** Brings the snapshot back at once. */
  async undo(reason: string): Promise<void> {
    const readPeople = async () => {
      // The host's memory of files ends with the undoing.
      const users = await readUsers({ ...this.#host, once: (_, ask) => ask() });
      return new Map([...users].map(([name, { home }]) => [name, home]));
    };
    const before = await readPeople();
    await this.#runUndo();
    this.#emit({ type: 'guard.undone', guard: this.#id, reason });
    const after = await readPeople();
    for (const [name, home] of before) {
      if (after.has(name) || (await this.#host.stat(home))?.type !== 'directory') continue;
      this.#host.warn(
        `The user ${name} is gone again; what was made of ${home} stays, and is theirs when the user is made again.`,
      );
    }
  }

  async #runUndo(): Promise<void> {
    await this.#host.run(['/bin/sh', join(this.#folder, 'undo.sh')], { timeout: 120 });
    await this.#clear();
  }

  async #disarm(proven: readonly (Way & { through: Through })[]): Promise<void> {
    try {
      // Whoever renames it first decides: we, or the timer.
      await rename(join(this.#folder, 'armed'), join(this.#folder, 'kept'));
    } catch (error) {
      if (!isAbsent(error)) throw error;
      return this.#burntDown();
    }
    await this.#clear();
    this.#emit({ type: 'guard.disarmed', guard: this.#id, user: this.#user, proven: [...proven] });
  }

  /** The host has undone the change, since it took longer than the fuse burns. */
  async #burntDown(): Promise<never> {
    await this.#runUndo();
    const reason = `it was not proven within ${FUSE} s`;
    this.#emit({ type: 'guard.undone', guard: this.#id, reason });
    throw undone(reason, this.#user);
  }

  async #clear(): Promise<void> {
    await this.#host.run(['systemctl', 'stop', `${unitOf(this.#id)}.timer`]);
    for (const path of [BOOT_UNIT.wanted, BOOT_UNIT.path, THIS_BOOT]) await rm(path, { force: true });
    await rm(this.#folder, { recursive: true, force: true });
    this.#armed = false;
  }
}

function undone(reason: string, user: string): DeployError {
  return new DeployError('guard-undone', `The change to SSH, firewall or users was undone: ${reason}.`, {
    hint: `Make sure that ${user} can log in with your key, then run the same command again.`,
  });
}

function familyName({ family, address }: Way): string {
  return `IPv${family} (${address})`;
}

/** Guards that a killed run has left burning. */
export function unprovenGuards(host: Host): Promise<readonly string[]> {
  return host.list(PATHS.guards);
}

function unitOf(id: string): string {
  return `slipway-guard-${id}`;
}
