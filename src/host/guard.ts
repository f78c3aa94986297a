import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DeployError } from '#core/errors';
import type { Host } from '#resources/resource';
import { isAbsent, ownDirectory, readTextIfThere } from './files.ts';
import type { Emit } from './journal.ts';
import { PATHS } from './paths.ts';

/** Seconds after which the host undoes an unproven change by itself, counted from before the first such change. */
const FUSE = 180;

/** Seconds a fresh login may take to prove access once it is asked for. */
const PROOF = 60;

/** All that sshd, sudo, users and ufw read: what a guard snapshots and brings back. */
const GUARDED = [
  '/etc/ssh',
  '/etc/sudoers',
  '/etc/sudoers.d',
  '/etc/passwd',
  '/etc/shadow',
  '/etc/group',
  '/etc/gshadow',
  '/etc/ufw',
  '/etc/default/ufw',
  '/etc/slipway/nftables',
  '/root/.ssh',
];

/** The script that brings a snapshot back. It needs nothing of ours, since it must work when we are gone. */
function undoScript(folder: string, ufwWasActive: boolean): string {
  return `#!/bin/sh
# Undoes a change that no fresh login has proven.
cd ${folder} || exit 1
[ -e proven ] && exit 0
mkdir -p stage && tar --extract --file snapshot.tar --directory stage --preserve-permissions || exit 1
while read -r path; do
  [ -e "stage$path" ] || { rm -rf "$path"; continue; }
  if [ -d "stage$path" ]; then rm -rf "$path"; cp -a "stage$path" "$path"
  else cp -a "stage$path" "$path.slipway-undo" && mv -fT "$path.slipway-undo" "$path"; fi
done < paths
if command -v ufw >/dev/null; then
  ${ufwWasActive ? 'ufw --force enable; ufw reload' : 'ufw --force disable'}
fi
for unit in /etc/systemd/system/slipway-nft-*.service; do
  [ -e "$unit" ] || continue
  unit=\${unit##*/}; table=\${unit#slipway-nft-}; table=\${table%.service}
  if [ -e "/etc/slipway/nftables/$table.nft" ]; then systemctl reload-or-restart "$unit"
  else systemctl disable --now "$unit"; fi
done
systemctl try-reload-or-restart ssh.service
rm -rf ${folder}
`;
}

/**
 * The dead man's switch around changes that could lock the owner out: a snapshot and a timer of the host's own, armed
 * before the first such change, and disarmed only when a fresh login has proven access.
 */
export class Guard {
  readonly #host: Host;
  readonly #emit: Emit;
  readonly #user: string;
  readonly #listener: ProofListener;
  #id = `${Date.now().toString(36)}-${process.pid}`;
  #armed = false;

  constructor(host: Host, emit: Emit, user: string, listener: ProofListener) {
    this.#host = host;
    this.#emit = emit;
    this.#user = user;
    this.#listener = listener;
  }

  get isArmed(): boolean {
    return this.#armed;
  }

  get #folder(): string {
    return guardFolder(this.#id);
  }

  #unit(id: string): string {
    return `slipway-guard-${id}`;
  }

  /**
   * Takes over a guard whose run was killed: its snapshot is of the last state that was proven, so it is that which has to
   * be proven or undone now. Resolves with whether there was one.
   */
  async inherit(): Promise<boolean> {
    const [left] = await unprovenGuards(this.#host);
    if (left === undefined) return false;
    await this.#host.run(['systemctl', 'stop', `${this.#unit(left)}.timer`]);
    this.#id = left;
    await this.#light();
    return true;
  }

  /** Snapshots and lights the fuse, before the first guarded change. */
  async arm(): Promise<void> {
    if (this.#armed) return;
    const homes = (await this.#host.list('/home')).map((name) => `/home/${name}/.ssh`);
    const paths = [...GUARDED, ...homes];
    const there: string[] = [];
    for (const path of paths) if ((await this.#host.stat(path)) !== undefined) there.push(path);
    // Made beside its place and moved there whole, so that a guard that is found is complete.
    const making = join(PATHS.state, `.guard-${this.#id}`);
    await ownDirectory(making);
    const members = there.map((path) => path.slice(1));
    await this.#host.must([
      'tar',
      '--create',
      '--file',
      join(making, 'snapshot.tar'),
      '--directory',
      '/',
      '--',
      ...members,
    ]);
    await writeFile(join(making, 'paths'), `${paths.join('\n')}\n`, { mode: 0o600 });
    const ufw = (await this.#host.readFile('/etc/ufw/ufw.conf')) ?? '';
    await writeFile(join(making, 'undo.sh'), undoScript(this.#folder, /^ENABLED=yes$/m.test(ufw)), { mode: 0o700 });
    await ownDirectory(PATHS.guards);
    await rename(making, this.#folder);
    await this.#light();
  }

  async #light(): Promise<void> {
    await this.#host.must([
      'systemd-run',
      `--unit=${this.#unit(this.#id)}`,
      `--on-active=${FUSE}`,
      '--timer-property=AccuracySec=1s',
      '--quiet',
      '/bin/sh',
      join(this.#folder, 'undo.sh'),
    ]);
    this.#armed = true;
    this.#emit({ type: 'guard.armed', guard: this.#id, seconds: FUSE, user: this.#user });
  }

  /** Waits for the fresh login; keeps the change when it comes, undoes it when it does not. */
  async prove(): Promise<void> {
    this.#emit({ type: 'guard.proof-wanted', guard: this.#id, seconds: PROOF, user: this.#user });
    const deadline = performance.now() + PROOF * 1000;
    while (performance.now() < deadline) {
      if ((await readTextIfThere(join(this.#folder, 'proven'))) !== undefined) return this.#disarm();
      const refused = this.#listener.failure(this.#id);
      if (refused !== undefined) return this.#fail(refused);
      await sleep(20);
    }
    return this.#fail(`no fresh login as ${this.#user} succeeded within ${PROOF} s`);
  }

  async #fail(reason: string): Promise<never> {
    await this.undo(reason);
    throw new DeployError('guard-undone', `The change to SSH, firewall or users was undone: ${reason}.`, {
      hint: `Make sure that ${this.#user} can log in with your key, then run the same command again.`,
    });
  }

  /** Brings the snapshot back at once. */
  async undo(reason: string): Promise<void> {
    await this.#host.run(['/bin/sh', join(this.#folder, 'undo.sh'), reason]);
    this.#emit({ type: 'guard.undone', guard: this.#id, reason });
    await this.#clear();
  }

  async #disarm(): Promise<void> {
    await this.#clear();
    this.#emit({ type: 'guard.disarmed', guard: this.#id });
  }

  async #clear(): Promise<void> {
    await this.#host.run(['systemctl', 'stop', `${this.#unit(this.#id)}.timer`]);
    await rm(this.#folder, { recursive: true, force: true });
    this.#armed = false;
  }
}

/** Hears from the laptop that a proof failed, so that nobody waits for the deadline. */
export interface ProofListener {
  /** Why the login for a guard failed; undefined while nothing was said. */
  failure(guard: string): string | undefined;
}

/** Guards that a killed run has left burning. */
export function unprovenGuards(host: Host): Promise<readonly string[]> {
  return host.list(PATHS.guards);
}

function guardFolder(id: string): string {
  return join(PATHS.guards, id);
}

/** Called through the fresh login: that this runs as root is the proof. */
export async function markProven(id: string): Promise<void> {
  if (!/^[a-z0-9-]+$/.test(id))
    throw new DeployError('usage', `${id} is no guard.`, { hint: 'This command is for Slipway itself.' });
  try {
    await writeFile(join(guardFolder(id), 'proven'), '', { mode: 0o600 });
  } catch (error) {
    if (!isAbsent(error)) throw error;
    throw new DeployError('guard-undone', `The guard ${id} is not waiting for a proof any more.`, {
      hint: 'The host has undone the change; run `deploy up` again.',
    });
  }
}
