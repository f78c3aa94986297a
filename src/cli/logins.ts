import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

function file(): string {
  return join(process.env.XDG_STATE_HOME ?? join(homedir(), '.local', 'state'), 'slipway', 'logins.json');
}

async function read(): Promise<Record<string, string>> {
  const text = await readFile(file(), 'utf8').catch(() => '{}');
  try {
    return JSON.parse(text) as Record<string, string>;
  } catch {
    return {};
  }
}

/**
 * The user this machine logged in as the last time, by address and port; undefined for a host never visited. Every login
 * that fails brings fail2ban nearer to a ban, so the right user is tried first.
 */
export async function lastLogin(place: string): Promise<string | undefined> {
  return (await read())[place];
}

/** Remembers the user who was let in. That it cannot be written down is no reason to fail. */
export async function rememberLogin(place: string, user: string): Promise<void> {
  const known = await read();
  if (known[place] === user) return;
  try {
    await mkdir(dirname(file()), { recursive: true });
    const next = `${file()}.${process.pid}`;
    await writeFile(next, `${JSON.stringify({ ...known, [place]: user }, undefined, 1)}\n`, { mode: 0o600 });
    await rename(next, file());
  } catch {
    // A home that cannot be written to only costs a second attempt next time.
  }
}
