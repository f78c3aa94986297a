import { readFileSync } from 'node:fs';
import { ensureImages } from '#sandbox/images/images';
import { down, internet, publishAuthorities, publishHostKeys, type SandboxHost, setRecord, up } from '#sandbox/sandbox';

/** Sees to it that what stands for the internet serves every image and is trusted; resolves with the images. */
export async function readyInternet(): ReturnType<typeof ensureImages> {
  const { registry, address, caFile } = await internet();
  const images = await ensureImages({ registry, address, ca: readFileSync(caFile, 'utf8') });
  await publishAuthorities();
  return images;
}

/** A host that nothing was deployed to, found under these domains; one of the same name goes first. */
export async function appHost(name: string, ...domains: readonly string[]): Promise<SandboxHost> {
  await down([name]).catch(() => undefined);
  await readyInternet();
  const host = await up({ name, aptCache: true, equipped: true });
  await publishHostKeys();
  for (const domain of domains) await setRecord(domain, { a: [host.address], aaaa: [host.address6] });
  return host;
}
