import type { Host } from '#resources/resource';
import { parseEffective } from '#resources/sshd-options';
import { sshd } from '#resources/sshd-program';
import { accountFaults } from './login-faults-account.ts';
import { wayFaults } from './login-faults-way.ts';

/** A login that did not come about. */
export interface FailedLogin {
  readonly user: string;
  readonly family: 4 | 6;
  /** Where sshd was expected. */
  readonly port: number;
  /** What the other end said of it; fingerprints of the keys it offered are looked for in it. */
  readonly failure: string;
}

/** What `sshd -T` says for one login: option in lower case to value. */
export type Effective = ReadonlyMap<string, string>;

/** Lines of the journal that are told where nothing else is found. */
const LINES = 3;

async function effective(host: Host, { user, port }: FailedLogin): Promise<Effective | string> {
  const client = host.facts.clientAddress ?? '192.0.2.1';
  const who = `user=${user},host=${client},addr=${client},laddr=${host.facts.addresses[0] ?? '192.0.2.2'},lport=${port}`;
  const output = await sshd(host, ['-T', '-C', who]);
  return output.exitCode === 0 ? parseEffective(output.stdout) : output.stderr.trim();
}

async function lastWords(host: Host): Promise<readonly string[]> {
  const output = await host.run([
    ...['journalctl', '--quiet', '--no-pager', '--output=cat', '--since=-90s', '--lines=40'],
    ...['--identifier=sshd', '--identifier=sshd-session', '--identifier=sudo'],
  ]);
  const telling = output.stdout
    .split('\n')
    .filter((line) => /refus|fail|denied|invalid|not allow|drop|error|bad /i.test(line));
  return telling.length === 0 ? [] : [`sshd says: ${telling.slice(-LINES).join(' | ')}`];
}

/** Why a login cannot come about, as this host sees it: all that is found, else what sshd said last. */
export async function loginFaults(host: Host, login: FailedLogin): Promise<readonly string[]> {
  const settings = await effective(host, login);
  if (typeof settings === 'string') return [`sshd refuses its configuration: ${settings}`];
  const found = await Promise.all([accountFaults(host, login, settings), wayFaults(host, login)]);
  const faults = found.flat();
  return faults.length > 0 ? faults : lastWords(host);
}
