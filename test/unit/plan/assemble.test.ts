import { expect, test } from 'vitest';
import { assemble } from '#plan/assemble';
import { aptPackage, file } from '#playbook/resources';

const keys = (list: ReturnType<typeof assemble>) => list.map(({ kind, id }) => `${kind}:${id}`);

test('packages of all playbooks come first, the rest in the order declared', () => {
  const parts = [
    { playbook: 'one', resources: [file({ path: '/a', content: '' }), aptPackage({ name: 'nginx' })] },
    { playbook: 'two', resources: [file({ path: '/b', content: '' }), aptPackage({ name: 'ufw' })] },
  ];
  expect(keys(assemble(parts))).toEqual(['apt-package:nginx', 'apt-package:ufw', 'file:/a', 'file:/b']);
});

test('what a package reads when it first starts is there before it', () => {
  const resources = [aptPackage({ name: 'fail2ban' }), file({ path: '/a', content: '' }, { beforePackages: true })];
  expect(keys(assemble([{ playbook: 'one', resources }]))).toEqual(['file:/a', 'apt-package:fail2ban']);
});

test('a resource declared twice alike stands once', () => {
  const nginx = aptPackage({ name: 'nginx' });
  expect(
    assemble([
      { playbook: 'one', resources: [nginx] },
      { playbook: 'two', resources: [nginx] },
    ]),
  ).toHaveLength(1);
});

test('a resource declared twice differently is an error that names both', () => {
  const parts = ['one', 'two'].map((playbook) => ({ playbook, resources: [file({ path: '/a', content: playbook })] }));
  expect(() => assemble(parts)).toThrow('file:/a is declared by the playbooks one and two');
});
