import { expect, test } from 'vitest';
import { releaseIdOf } from '#release/identities';
import { isImage, pinnedName } from '#release/images';
import { registryLogin, registryOf } from '#release/registry-login';
import type { Host } from '#resources/resource';

const [ONE, TWO] = ['1', '2'].map((digit) => `sha256:${digit.repeat(64)}`) as [string, string];

test('a release is known by what was declared and by what its images are', () => {
  const id = releaseIdOf(
    'abc',
    new Map([
      ['a:1', `a@${ONE}`],
      ['b:1', TWO],
    ]),
  );
  expect(id).toMatch(/^[0-9a-f]{12}$/);
  expect(
    releaseIdOf(
      'abc',
      new Map([
        ['b:1', TWO],
        ['a:1', `a@${ONE}`],
      ]),
    ),
  ).toBe(id);
  expect(
    releaseIdOf(
      'abc',
      new Map([
        ['a:1', `a@${TWO}`],
        ['b:1', TWO],
      ]),
    ),
  ).not.toBe(id);
  expect(
    releaseIdOf(
      'abd',
      new Map([
        ['a:1', `a@${ONE}`],
        ['b:1', TWO],
      ]),
    ),
  ).not.toBe(id);
});

test('an image is recognized by its id, and by its digest under whatever name of its registry', () => {
  const image = { Id: ONE, RepoDigests: [`nginx@${TWO}`], Architecture: 'amd64' };
  expect(isImage(image, ONE)).toBe(true);
  expect(isImage(image, `docker.io/library/nginx@${TWO}`)).toBe(true);
  expect(isImage(image, `nginx@${ONE.replace('1', '3')}`)).toBe(false);
  expect(pinnedName('shop', 'ghcr.io:5000/acme/shop:v1', ONE)).toBe('slipway/shop:v1-111111111111');
});

test.each([
  ['nginx', 'docker.io'],
  ['acme/shop:v1', 'docker.io'],
  ['ghcr.io/acme/shop', 'ghcr.io'],
  ['localhost/shop', 'localhost'],
  ['registry:5000/shop:v1', 'registry:5000'],
])('%s comes from %s', (reference, registry) => {
  expect(registryOf(reference)).toBe(registry);
});

test("a registry is asked in the host's name, where it has one there", async () => {
  const auth = (login: string) => ({ auth: Buffer.from(login).toString('base64') });
  const auths = { 'ghcr.io': auth('me:to:ken'), 'https://index.docker.io/v1/': auth('hub:secret') };
  const file = (text: string | undefined) => ({ readFile: () => Promise.resolve(text) }) as unknown as Host;
  const told = async (text: string | undefined, reference: string) => {
    const { 'x-registry-auth': header } = await registryLogin(file(text), reference);
    return header === undefined ? undefined : JSON.parse(Buffer.from(header, 'base64url').toString());
  };
  const text = JSON.stringify({ auths });
  expect(await told(text, 'ghcr.io/acme/shop')).toMatchObject({ username: 'me', password: 'to:ken' });
  expect(await told(text, 'nginx')).toMatchObject({ username: 'hub', serveraddress: 'https://index.docker.io/v1/' });
  expect(await told(text, 'quay.io/x')).toBeUndefined();
  expect(await told(undefined, 'nginx')).toBeUndefined();
  expect(await told('{', 'nginx')).toBeUndefined();
});
