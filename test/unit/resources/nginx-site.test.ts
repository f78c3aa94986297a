import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nginxSiteKind } from '#resources/nginx-site';
import { parseComplaint } from '#resources/nginx-trial';

const file = { type: 'file', mode: '0644', owner: 'root', group: 'root', size: 1 } as const;

describe('a site', () => {
  const paths = fc.constantFrom('conf.d/a.conf', 'conf.d/b.conf', 'snippets/c.conf', 'sites-enabled/d.conf');

  test('whose files are as declared differs in nothing', async () => {
    await fc.assert(
      fc.property(fc.dictionary(paths, fc.string()), (files) => {
        const props = nginxSiteKind.props.parse({ name: 's', files, replaces: ['sites-enabled/default'] });
        const there = Object.fromEntries(Object.entries(files).map(([path, content]) => [path, { ...file, content }]));
        expect(nginxSiteKind.diff({ files: there, leftover: [], known: true, inTheWay: [] }, props)).toEqual([]);
      }),
    );
  });

  test('tells what comes, what goes and what it takes the place of', () => {
    const props = nginxSiteKind.props.parse({
      name: 's',
      files: { 'conf.d/a.conf': 'new\n', 'conf.d/b.conf': 'b\n' },
      replaces: ['sites-enabled/default'],
    });
    const changes = nginxSiteKind.diff(
      {
        files: { 'conf.d/a.conf': { ...file, content: 'old\n' } },
        leftover: ['conf.d/z.conf'],
        known: true,
        inTheWay: ['sites-enabled/default'],
      },
      props,
    );
    expect(changes.map(({ summary }) => summary)).toEqual([
      'content conf.d/a.conf',
      'create conf.d/b.conf',
      'remove conf.d/z.conf',
      'replace sites-enabled/default',
    ]);
  });

  test.each(['/etc/nginx/a.conf', '../passwd', 'conf.d/../../passwd', 'conf.d//a.conf', '.hidden', 'a b'])(
    'refuses the path %j',
    (path) => {
      expect(nginxSiteKind.props.safeParse({ name: 's', files: { [path]: '' } }).success).toBe(false);
    },
  );
});

// As nginx 1.26.3 says it.
test.each([
  [
    '2026/11/21 11:10:27 [emerg] 29271#29271: unknown directive "proxy_passs" in /etc/nginx/conf.d/s.conf:3\n',
    {
      message: 'unknown directive "proxy_passs" in /etc/nginx/conf.d/s.conf:3',
      file: '/etc/nginx/conf.d/s.conf',
      line: 3,
    },
  ],
  [
    'nginx: [warn] conflicting server name "x" on 0.0.0.0:80, ignored\nnginx: [emerg] open() "/etc/nginx/snippets/shop.conf" failed (2: No such file or directory) in /etc/nginx/conf.d/shop.conf:1\nnginx: configuration file /etc/nginx/nginx.conf test failed\n',
    {
      message:
        'open() "/etc/nginx/snippets/shop.conf" failed (2: No such file or directory) in /etc/nginx/conf.d/shop.conf:1',
      file: '/etc/nginx/conf.d/shop.conf',
      line: 1,
    },
  ],
  [
    'nginx: [emerg] cannot load certificate "/nope.pem": BIO_new_file() failed\n',
    { message: 'cannot load certificate "/nope.pem": BIO_new_file() failed', file: undefined, line: undefined },
  ],
])('nginx is understood', (said, complaint) => {
  expect(parseComplaint(said)).toEqual(complaint);
});
