import { DeployError } from '#core/errors';
import { type HostKey, judge, type KnownKey } from '#ssh/known-hosts';
import type { Route } from '#ssh/route';

/** Why a host's key is not accepted, for a person; undefined where it is. Nothing is ever accepted by itself. */
export function refusal(route: Route, presented: HostKey, known: readonly KnownKey[]): DeployError | undefined {
  const verdict = judge(presented, known);
  const shown = `${presented.type} ${presented.fingerprint}`;
  if (verdict.kind === 'known') return undefined;
  if (verdict.kind === 'revoked') {
    const { file, line } = verdict.by;
    return new DeployError('host-key-revoked', `${route.place} presents ${shown}, which ${file}:${line} revokes`, {
      hint: 'Do not connect. Give the host a new key, then trust that one with `deploy trust <environment>`.',
      host: route.name,
    });
  }
  if (verdict.kind === 'unknown') {
    const authority = verdict.authority;
    const note =
      authority === undefined
        ? ''
        : `\n  ${authority.file}:${authority.line} names a certificate authority for it; host certificates are not looked at here`;
    return new DeployError('host-key-unknown', `${route.place} is not known yet. It presents\n  ${shown}${note}`, {
      hint: 'Compare the fingerprint with what the provider shows, then run `deploy trust <environment>`.',
      host: route.name,
    });
  }
  const pinned = verdict.pinned.map((key) => `  pinned:   ${key.type} ${key.fingerprint} (${key.file}:${key.line})`);
  const message = `${route.place} presents another key than the one pinned\n${pinned.join('\n')}\n  presents: ${shown}`;
  const first = verdict.pinned[0];
  return new DeployError('host-key-changed', message, {
    hint: `Somebody may stand in between. Only if the host was reinstalled: remove line ${first?.line} of ${first?.file}, then run \`deploy trust <environment>\`.`,
    host: route.name,
  });
}
