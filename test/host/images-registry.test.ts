import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { type PackedLayer, pack } from '#sandbox/images/archive';
import { assemble } from '#sandbox/images/image';
import { openRegistry, type RegistryAddress } from '#sandbox/images/registry';
import { internet } from '#sandbox/sandbox';
import { scratch } from '#test/support/scratch';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

describe('the registry of the sandbox', () => {
  const room = scratch('registry');
  // What an earlier run pushed is still there.
  const own = `test-${randomBytes(6).toString('hex')}`;
  let address: RegistryAddress;
  let layer: PackedLayer & { file: string };

  beforeAll(async () => {
    const there = await internet();
    address = { registry: there.registry, address: there.address, ca: readFileSync(there.caFile, 'utf8') };
    writeFileSync(join(room, 'hello'), randomBytes(500_000));
    const file = join(room, 'layer.tar.gz');
    layer = { ...(await pack({ root: room, paths: ['hello'] }, file)), file };
  });

  test('what was pushed is there, under a second repository too', async () => {
    const registry = openRegistry(address);
    const { config, manifest } = assemble({ layers: [], run: {} }, [layer]);
    expect(await registry.digestOf(own, '1')).toBeUndefined();
    for (const repository of [own, `library/${own}`]) {
      await registry.pushLayer(repository, layer);
      await registry.pushBlob(repository, config);
      await registry.pushManifest(repository, '1', manifest);
      expect(await registry.digestOf(repository, '1')).toBe(manifest.digest);
    }
    // Once more: what is there is not sent again, and nothing minds.
    await registry.pushLayer(own, { ...layer, file: '/nowhere' });
    registry.close();
  });

  test('a manifest of layers that it lacks is refused, and said to be', async () => {
    const registry = openRegistry(address);
    const { manifest } = assemble({ layers: [], run: {} }, [
      { digest: `sha256:${'0'.repeat(64)}`, diffId: '', size: 1 },
    ]);
    await expect(registry.pushManifest(`${own}-b`, '1', manifest)).rejects.toMatchObject({
      code: 'sandbox-image-failed',
      message: /manifests\/1 was answered with 40[04]/,
    });
    registry.close();
  });

  test('a registry that another authority signed is not spoken to', async () => {
    const { ca: _ca, ...stranger } = address;
    const registry = openRegistry(stranger);
    await expect(registry.digestOf(own, '1')).rejects.toMatchObject({ message: /certificate/ });
    registry.close();
  });
});

test('a registry that is not there is an error that names it', async () => {
  const name = `127.0.0.1:${await freePort()}`;
  const registry = openRegistry({ registry: name });
  await expect(registry.digestOf('a', '1')).rejects.toMatchObject({
    code: 'sandbox-image-failed',
    message: new RegExp(`${name}.*ECONNREFUSED`),
  });
  registry.close();
});
