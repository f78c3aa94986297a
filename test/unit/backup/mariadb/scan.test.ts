import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Scanned, scanDump } from '#backup/mariadb/scan';

const END = '-- Dump completed on 2026-05-04 12:00:00\n';

/** Reads a text in pieces of so many bytes, since what a pipe brings begins and ends anywhere. */
function scan(text: string, size = 7): Scanned {
  const scanner = scanDump();
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) scanner.push(bytes.subarray(at, at + size));
  return scanner.end();
}

describe('a dump that is read', () => {
  test('tells the rows of each table, as MariaDB and as MySQL write them', () => {
    const mariadb = "INSERT INTO `users` VALUES\n(1,'Ann'),\n(2,'Bob');\n";
    const mysql = "INSERT INTO `users` (`id`, `name`) VALUES (3,'Cy'),(4,NULL),(5,_binary '\\0\\'');\n";
    const empty = 'CREATE TABLE `none` (\n  `id` int\n);\n';
    expect(scan(`USE \`shop\`;\nCREATE TABLE \`users\` (\n  \`id\` int\n);\n${mariadb}${mysql}${empty}${END}`)).toEqual(
      {
        rows: { 'shop.users': 5, 'shop.none': 0 },
        isWhole: true,
      },
    );
  });

  test('knows what looks like a row, a statement or the end in a text', () => {
    const text = "it''s (1),(2); -- Dump completed\\nINSERT INTO `x` VALUES (1)";
    const { rows, isWhole } = scan(
      `USE \`a\`;\nINSERT INTO \`t\` VALUES (1,'${text}'),(2,'\\\\');\nINSERT INTO \`t\` VALUES (3,'');\n`,
    );
    expect(rows).toEqual({ 'a.t': 3 });
    expect(isWhole).toBe(false);
  });

  test('does not count what a routine would insert', () => {
    const routine =
      'DELIMITER ;;\nCREATE TRIGGER a BEFORE INSERT ON t FOR EACH ROW\nBEGIN\nINSERT INTO `t` VALUES (1),(2);\nEND ;;\nDELIMITER ;\n';
    expect(scan(`USE \`a\`;\n${routine}INSERT INTO \`t\` VALUES (1);\n${END}`).rows).toEqual({ 'a.t': 1 });
  });

  test('is whole only with its last line', () => {
    const whole = `USE \`a\`;\nINSERT INTO \`t\` VALUES (1);\n\n${END}`;
    expect(scan(whole).isWhole).toBe(true);
    expect(scan(whole.trimEnd()).isWhole).toBe(true);
    for (const cut of [2, 3, 30, 44]) expect(scan(whole.slice(0, whole.length - cut)).isWhole).toBe(false);
    expect(scan('').isWhole).toBe(false);
  });

  const value = fc.oneof(
    fc.integer().map(String),
    fc.constant('NULL'),
    fc
      .string({ unit: fc.constantFrom('a', "'", '\\', '(', ')', ';', ',', '`', '\n', 'é') })
      .map((text) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('\n', '\\n')}'`),
  );
  const tuple = fc.array(value, { minLength: 1, maxLength: 4 }).map((values) => `(${values.join(',')})`);

  test('counts right whatever is in the texts, wherever the pieces begin', () => {
    void fc.assert(
      fc.property(
        fc.array(fc.array(tuple, { minLength: 1, maxLength: 5 }), { maxLength: 5 }),
        fc.integer({ min: 1, max: 64 }),
        (statements, size) => {
          const text = statements.map((tuples) => `INSERT INTO \`t\` VALUES ${tuples.join(',')};\n`).join('');
          const { rows, isWhole } = scan(`USE \`a\`;\nCREATE TABLE \`t\` (\n);\n${text}${END}`, size);
          expect(rows).toEqual({ 'a.t': statements.flat().length });
          expect(isWhole).toBe(true);
        },
      ),
    );
  });
});
