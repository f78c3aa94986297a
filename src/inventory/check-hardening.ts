import type { Fault } from '#inventory/check';
import { valueAt } from '#inventory/issues';

type Value = string | number | boolean | readonly string[];

/** Options of sshd as declared, each with the path it stands at; what the schema refuses is left to it. */
function sshOptions(inventory: unknown): readonly { readonly option: string; readonly value: Value }[] {
  const options = valueAt(inventory, ['ssh', 'options']);
  if (options === null || typeof options !== 'object' || Array.isArray(options)) return [];
  return Object.entries(options).map(([option, value]) => ({ option, value: value as Value }));
}

const words = (value: Value): readonly string[] =>
  (Array.isArray(value) ? value : String(value).split(/\s+/)).map(String);

const is = (value: Value, ...wanted: readonly (string | boolean)[]): boolean =>
  wanted.some((one) => String(value).toLowerCase() === (typeof one === 'boolean' ? (one ? 'true' : 'false') : one));

const isNo = (value: Value) => is(value, false, 'no');
const isYes = (value: Value) => is(value, true, 'yes');

/** Whether a name is meant by a pattern of sshd_config(5), without the host part after its `@`. */
function matches(pattern: string, name: string): boolean {
  const [user = ''] = pattern.split('@');
  const source = user
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`).test(name);
}

/** Why an option of sshd cannot be, by its name in lower case; undefined where it can. */
const REFUSALS: Readonly<Record<string, (value: Value, user: string) => string | undefined>> = {
  pubkeyauthentication: (value) =>
    isNo(value) ? 'would lock everybody out: keys are the only way in that is left' : undefined,
  authenticationmethods: (value) =>
    words(value).some((method) => method === 'publickey' || method === 'any')
      ? undefined
      : 'would lock Slipway out: it logs in by key alone; let one of the methods be `publickey`',
  authorizedkeysfile: (value) =>
    words(value).some((file) => /^(?:%h\/)?\.ssh\/authorized_keys$/.test(file))
      ? undefined
      : 'would lock everybody out: keys are written to .ssh/authorized_keys; keep it among them',
  port: () => 'would leave the firewall behind; write `ssh.port`, which moves both',
  listenaddress: () =>
    'would shut out whoever comes by another address, over IPv6 for one; close ssh by `ssh.allowFrom`',
  permitemptypasswords: (value) => (isYes(value) ? 'would open every account that has no password' : undefined),
  usepam: (value) =>
    isNo(value) ? 'would lock everybody out: without PAM, sshd refuses accounts that have no password' : undefined,
  match: () => 'is no option of its own: it would change the meaning of all that follows; write a drop-in of your own',
  include: () => 'would be read before the rest is known; write a drop-in of your own',
  allowusers: (value, user) =>
    words(value).some((pattern) => matches(pattern, user)) ? undefined : `would lock ${user} out; name it too`,
  denyusers: (value, user) =>
    words(value).some((pattern) => matches(pattern, user)) ? `would lock ${user} out` : undefined,
  allowgroups: (value, user) =>
    words(value).some((pattern) => matches(pattern, user))
      ? undefined
      : `would lock ${user} out, whose group has its own name; name it too`,
  denygroups: (value, user) =>
    words(value).some((pattern) => matches(pattern, user)) ? `would lock ${user} out` : undefined,
};

/** What would lock the owner out, or say the opposite of another part of the inventory. */
export function checkHardening(inventory: unknown, fault: Fault): void {
  const declaredUser = valueAt(inventory, ['ssh', 'user']);
  const user = typeof declaredUser === 'string' ? declaredUser : 'deploy';
  for (const { option, value } of sshOptions(inventory)) {
    const refusal = REFUSALS[option.toLowerCase()]?.(value, user);
    if (refusal !== undefined) fault(['ssh', 'options', option], refusal, 'key');
  }
}

const LOOSER: Readonly<Record<string, string>> = {
  permitrootlogin: 'lets root log in, whose name everybody knows',
  passwordauthentication: 'lets passwords in, which are guessed around the clock',
  kbdinteractiveauthentication: 'lets passwords in by another name, which are guessed around the clock',
};

const FORWARDING = /^net[./]ipv[46][./](?:ip_forward|conf[./]all[./]forwarding)$/;

/** What is allowed, loosens the host and is likely to be regretted. */
export function hardeningRegrets(inventory: unknown): readonly string[] {
  const options = sshOptions(inventory).flatMap(({ option, value }) => {
    const regret = LOOSER[option.toLowerCase()];
    return regret !== undefined && isYes(value) ? [`ssh.options.${option} ${regret}`] : [];
  });
  const sysctl = valueAt(inventory, ['harden', 'sysctl']);
  const parameters = Object.entries(sysctl !== null && typeof sysctl === 'object' ? sysctl : {}).flatMap(
    ([key, value]) =>
      FORWARDING.test(key) && Number(value) === 0
        ? [`harden.sysctl ${key}: 0 cuts containers off from the network`]
        : [],
  );
  return [...options, ...parameters];
}
