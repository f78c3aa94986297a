import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process as it can be found again by another one: its number alone may meanwhile be someone else's. */
export interface ProcessId {
  readonly pid: number;
  /** Clock ticks after boot, field 22 of /proc/PID/stat (proc(5)). */
  readonly startTime: number;
}

interface Stat {
  readonly state: string;
  readonly startTime: number;
}

async function statOf(pid: number): Promise<Stat | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] ?? '', startTime: Number(fields[19]) };
}

/** The process with this number, to be found again later; undefined where there is none. */
export async function identify(pid: number): Promise<ProcessId | undefined> {
  const stat = await statOf(pid);
  return stat === undefined ? undefined : { pid, startTime: stat.startTime };
}

/** Whether that very process still runs. */
export async function isRunning(id: ProcessId): Promise<boolean> {
  const stat = await statOf(id.pid);
  return stat !== undefined && stat.startTime === id.startTime && stat.state !== 'Z' && stat.state !== 'X';
}

/** The processes started by this one. */
export async function childrenOf(pid: number): Promise<readonly number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return text
    .split(' ')
    .filter((word) => word !== '')
    .map(Number);
}

/** Signals exactly that process, and nothing where it is gone. Real-time signals are given by number. */
export async function signal(id: ProcessId, what: NodeJS.Signals | number): Promise<void> {
  if (!(await isRunning(id))) return;
  try {
    process.kill(id.pid, what);
  } catch {
    // It ended between the look and the signal.
  }
}

/** Waits until it has ended; false where it has not within so many seconds. */
export async function ended(id: ProcessId, seconds: number): Promise<boolean> {
  const deadline = performance.now() + seconds * 1000;
  while (await isRunning(id)) {
    if (performance.now() > deadline) return false;
    await sleep(20);
  }
  return true;
}
