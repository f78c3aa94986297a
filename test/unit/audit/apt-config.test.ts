import fc from 'fast-check';
import { expect, test } from 'vitest';
import { keysIn, parseDump } from '#audit/apt-config';

const name = fc.stringMatching(/^[A-Z][a-z]{1,8}(-[A-Z][a-z]{1,5})?$/);
const path = fc.array(name, { minLength: 1, maxLength: 4 });
const value = fc.constantFrom('1', 'true', 'origin=Debian,label=a', '// no comment', '{ ; }', '# 1');

/** The same setting written flat, in nested scopes, or half and half. */
function written([first = '', ...rest]: readonly string[], text: string, flat: number): string {
  if (rest.length === 0) return `${first} "${text}";`;
  return flat > 0 ? `${first}::${written(rest, text, flat - 1)}` : `${first} {\n  ${written(rest, text, 0)}\n};`;
}

test('a key is found however it is written', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(path, value, fc.nat(4)), { maxLength: 5 }), (settings) => {
      const text = settings.map(([keys, content, flat]) => written(keys, content, flat)).join('\n// b "c";\n');
      expect([...keysIn(text)].sort()).toEqual(
        [...new Set(settings.map(([keys]) => keys.join('::').toLowerCase()))].sort(),
      );
    }),
  );
});

test('lists, comments and #clear', () => {
  const text = `/* A "1"; */
#clear Unattended-Upgrade::Origins-Pattern;
Unattended-Upgrade { Origins-Pattern { "origin=Debian"; // one
  "label=Debian-Security"; }; };
Dpkg::Options:: "--force-confdef";`;
  expect([...keysIn(text)].sort()).toEqual(['dpkg::options', 'unattended-upgrade::origins-pattern']);
});

test('what apt-config prints', () => {
  const values = parseDump('APT "";\nAPT::Periodic::Verbose "1";\nDir::Log:: "a";\nDir::Log:: "b=c,d";\n');
  expect(values.get('apt::periodic::verbose')).toBe('1');
  expect(values.get('dir::log')).toBe('a,b=c,d');
  expect(values.get('apt')).toBe('');
  expect(values.has('nothing')).toBe(false);
});
