import { posix } from 'node:path';
import type { Found, HostProbe } from '#audit/audit';
import type { FileState, Host } from '#resources/resource';

/** More links in a row than any system has are a circle. */
const LINKS = 8;

async function followed(host: Host, path: string): Promise<FileState | undefined> {
  let at = path;
  for (let link = 0; link < LINKS; link += 1) {
    const state = await host.stat(at);
    if (state?.target === undefined) return state;
    at = posix.resolve(posix.dirname(at), state.target);
  }
  return undefined;
}

/** Keys are paths; a link counts as what it leads to. */
export const file: HostProbe = {
  name: 'file',
  async ask(host, keys) {
    const found = keys.map(async (path): Promise<readonly [string, Found]> => {
      const state = await followed(host, path);
      if (state === undefined) return [path, { value: 'missing' }];
      const mode = Number.parseInt(state.mode, 8).toString(8).padStart(4, '0');
      return [path, { value: `${mode} ${state.owner} ${state.group}` }];
    });
    return new Map(await Promise.all(found));
  },
};
