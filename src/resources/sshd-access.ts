/** A user who wants to log in, as sshd looks at them. */
export interface Visitor {
  readonly user: string;
  readonly groups: readonly string[];
  /** Where they come from; undefined where that is not known. */
  readonly address: string | undefined;
}

/** An option that keeps somebody out, with what it says. */
export interface Obstacle {
  readonly option: string;
  readonly value: string;
  /** The sentence that says what is wrong. */
  readonly why: string;
}

// ssh_config(5), PATTERNS: `*` and `?`; a list of them is one entry a line in what sshd prints.
function matches(pattern: string, text: string): boolean {
  const escaped = pattern.replaceAll(/[.+^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`).test(text);
}

function names(value: string | undefined): readonly string[] {
  return (value ?? '').split(/\s+/).filter((name) => name !== '');
}

// The part behind the @ may be a network or a name: what cannot be judged here is taken to fit, and left to the guard.
function isUser(pattern: string, { user, address }: Visitor, whenUnsure: boolean): boolean {
  const [name = '', from] = pattern.split(/@(?=[^@]*$)/);
  if (!matches(name, user)) return false;
  if (from === undefined) return true;
  return address === undefined || !/^[\d.*?:a-f]+$/.test(from) ? whenUnsure : matches(from, address);
}

/**
 * What of the effective settings (as `sshd -T -C user=…` prints them) would refuse a key login by a user whose keys are in
 * ~/.ssh/authorized_keys; sshd(8) itself only says so once somebody tries.
 */
export function obstacle(effective: ReadonlyMap<string, string>, visitor: Visitor): Obstacle | undefined {
  const { user, groups } = visitor;
  const list = (option: string) => names(effective.get(option));
  const inGroup = (option: string) => list(option).some((pattern) => groups.some((group) => matches(pattern, group)));
  const says = (option: string, why: string): Obstacle => ({ option, value: list(option).join(' '), why });
  if (list('denyusers').some((pattern) => isUser(pattern, visitor, false))) {
    return says('denyusers', `it names ${user}`);
  }
  if (list('allowusers').length > 0 && !list('allowusers').some((pattern) => isUser(pattern, visitor, true))) {
    return says('allowusers', `${user} is not among them`);
  }
  if (inGroup('denygroups')) return says('denygroups', `${user} is in one of them`);
  if (list('allowgroups').length > 0 && !inGroup('allowgroups')) {
    return says('allowgroups', `${user} is in none of them`);
  }
  const keys = list('authorizedkeysfile');
  const own = ['.ssh/authorized_keys', '%h/.ssh/authorized_keys', `/home/${user}/.ssh/authorized_keys`];
  if (keys.length > 0 && !keys.some((file) => own.includes(file.replace('%u', user)))) {
    return says('authorizedkeysfile', `the keys of ${user} are in ~/.ssh/authorized_keys`);
  }
  const methods = list('authenticationmethods');
  if (methods.length > 0 && !methods.some((method) => method === 'any' || method === 'publickey')) {
    return says('authenticationmethods', 'a key alone does not let in');
  }
  return undefined;
}
