import { expect, test } from 'vitest';
import { aptRepositoryKind, listPrefix, sourceText } from '#resources/apt-repository';

const key = '-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nx\n-----END PGP PUBLIC KEY BLOCK-----\n';
const docker = aptRepositoryKind.props.parse({
  name: 'docker',
  uri: 'https://download.docker.com/linux/debian',
  suites: ['bookworm'],
  components: ['stable'],
  architectures: ['amd64'],
  key,
});

test('a source is written in the deb822 form', () => {
  expect(sourceText(docker, '/etc/apt/keyrings/docker.asc')).toBe(
    `Types: deb
URIs: https://download.docker.com/linux/debian
Suites: bookworm
Components: stable
Architectures: amd64
Signed-By: /etc/apt/keyrings/docker.asc
`,
  );
  expect(sourceText({ ...docker, suites: ['./'] }, 'k')).not.toContain('Components');
});

// As apt itself names them in /var/lib/apt/lists.
test.each([
  ['https://download.docker.com/linux/debian', 'download.docker.com_linux_debian_'],
  ['http://10.0.0.1:8080/my_repo/', '10.0.0.1:8080_my%5frepo_'],
  ['file:///srv/repo', '_srv_repo_'],
])('the lists of %s begin with %s', (uri, prefix) => {
  expect(listPrefix(uri)).toBe(prefix);
});

test('a repository that was never read has to be', () => {
  const attributes = { type: 'file', mode: '0644', owner: 'root', group: 'root', size: 1 } as const;
  const state = {
    key: { ...attributes, content: key },
    source: { ...attributes, content: sourceText(docker, '/etc/apt/keyrings/docker.asc') },
  };
  expect(aptRepositoryKind.diff({ ...state, listed: true }, docker)).toEqual([]);
  expect(aptRepositoryKind.diff({ ...state, listed: false }, docker)).toEqual([
    { summary: 'read its lists of packages' },
  ]);
  const other = { ...state, key: { ...state.key, content: 'other' }, listed: true };
  expect(aptRepositoryKind.diff(other, docker)).toEqual([{ summary: 'key: content' }]);
});

test('what is no key is refused', () => {
  expect(aptRepositoryKind.props.safeParse({ ...docker, key: 'mQINBF…' }).success).toBe(false);
});
