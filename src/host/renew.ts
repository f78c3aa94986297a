import { renewDue } from '#certificates/certificates';
import { readFacts } from './facts.ts';
import { newOperation } from './journal.ts';
import { takeLock } from './lock.ts';
import { createHost } from './machine.ts';

/**
 * Renews what is due on this host and tells the journal, one line a certificate; `--now` leaves out the wait that
 * spreads hosts. Resolves with the exit code: 1 where something failed.
 */
export async function renew(args: readonly string[]): Promise<number> {
  const machine = createHost(await readFacts(), {
    say: (message) => console.log(message),
    warn: (message, hint) => console.error(hint === undefined ? message : `${message}\n${hint}`),
  });
  const report = await renewDue(machine, {
    ...(args.includes('--now') ? { spread: 0 } : {}),
    lock: () => takeLock({ operation: newOperation(), verb: 'renew', by: 'the host itself' }),
  });
  for (const { domain, outcome, notAfter, next, served } of report.certificates) {
    const serving = served === 'other' ? '; nginx serves another' : '';
    console.log(`${domain}: ${outcome}, good until ${notAfter}, next ${next}${serving}`);
  }
  if (report.reloaded) console.log('nginx reloaded');
  const failed = report.certificates.some(({ outcome }) => outcome === 'failed');
  return failed || report.reloadError !== undefined ? 1 : 0;
}
