import { expect, test } from 'vitest';
import { ignoring } from '#images/ignore';

// As `docker build` takes them, tried with 28.2: what was copied by `COPY . /all`.
test.each<[string, readonly string[], readonly string[]]>([
  ['node_modules', ['node_modules', 'node_modules/a/b'], ['a/node_modules', 'node_modules2']],
  ['**/node_modules', ['node_modules/x', 'a/b/node_modules/x'], ['a/node_modules2']],
  ['/dist/', ['dist', 'dist/x'], ['a/dist']],
  ['*.log', ['x.log'], ['a/x.log', 'xlog']],
  ['**/*.log', ['x.log', 'a/b/x.log'], ['x.logs']],
  ['*/temp*', ['a/temp', 'a/temporary/x'], ['temp', 'a/b/temp']],
  ['temp?', ['tempa', 'temp1/x'], ['temp', 'tempab']],
  ['[ab].txt', ['a.txt'], ['c.txt']],
  ['docs\n!docs/README.md', ['docs', 'docs/a.md'], ['docs/README.md']],
  ['*.md\n!README*.md\nREADME-secret.md', ['a.md', 'README-secret.md'], ['README-1.md']],
  ['# node_modules\n\n  .git  ', ['.git/config'], ['node_modules', '# node_modules']],
  ['a+b(c).txt', ['a+b(c).txt'], ['aab(c).txt']],
  ['./x/../y', ['y'], ['x']],
])('%j leaves out what it names', (text, out, kept) => {
  const ignores = ignoring(text);
  expect(out.filter((path) => !ignores(path))).toEqual([]);
  expect(kept.filter((path) => ignores(path))).toEqual([]);
});
