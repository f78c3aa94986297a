/** Values as `apt-config dump` prints them, by key in lower case; the members of a list with commas between them. */
export function parseDump(said: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const [, key = '', value = ''] of said.matchAll(/^(\S+) "(.*)";$/gm)) {
    const isMember = key.endsWith('::');
    const name = (isMember ? key.slice(0, -2) : key).toLowerCase();
    const before = values.get(name) ?? '';
    values.set(name, isMember && before !== '' ? `${before},${value}` : value);
  }
  return values;
}

const TOKENS = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|#clear\b|#[^\n]*|"[^"]*"|[{};]|[^\s{};"]+/g;

/** The keys that the text of an apt configuration file sets, in lower case (apt.conf(5)): `A::B "1";` or `A { B "1"; }`. */
export function keysIn(text: string): ReadonlySet<string> {
  const keys = new Set<string>();
  const scopes: string[] = [];
  let words: string[] = [];
  for (const [token] of text.matchAll(TOKENS)) {
    if (token.startsWith('//') || token.startsWith('/*') || (token.startsWith('#') && token !== '#clear')) continue;
    if (token === '{') {
      scopes.push(words[0] ?? '');
      words = [];
    } else if (token === '}') {
      scopes.pop();
      words = [];
    } else if (token === ';') {
      const named = words.filter((word) => word !== '#clear');
      // What stands alone in quotes is a member of the list that its scope is.
      const [name = ''] = named.filter((word) => !word.startsWith('"'));
      const key = [...scopes, name].filter((part) => part !== '').join('::');
      if (words.length > 0 && key !== '') keys.add(key.replace(/::$/, '').toLowerCase());
      words = [];
    } else {
      words.push(token);
    }
  }
  return keys;
}
