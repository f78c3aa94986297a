import { type Answered, askHosts } from '#cli/ask';
import { narrator, recorder } from '#cli/narrator';
import { EXIT } from '#core/error-codes';
import type { Environment, Host } from '#inventory/environment';
import type { Event } from '#protocol/event';
import type { Request } from '#protocol/plan';

/** Asks hosts for what takes its time and goes on without us, and tells how it goes; interrupted, it says how to follow. */
export async function askAloud(
  environment: Environment,
  hosts: readonly Host[],
  request: Request,
  json: boolean,
): Promise<readonly Answered[]> {
  const told = json ? recorder() : narrator(hosts.map(({ name }) => name));
  const interrupted = () => {
    told.end();
    process.stderr.write(`\nInterrupted here; the hosts go on: \`deploy attach ${environment.name}\`.\n`);
    process.exit(EXIT.interrupted);
  };
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', interrupted);
  // "No change" is what an operation says that leaves everything that runs as it is.
  const isSilent = ({ type }: Event) => !json && (type === 'hello' || type === 'operation.finished');
  const answers = await askHosts(environment, hosts, request, (event) =>
    isSilent(event) ? undefined : told.event(event),
  );
  told.end();
  process.off('SIGINT', interrupted);
  process.off('SIGTERM', interrupted);
  return answers;
}
