import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { scratch } from './scratch.ts';

/** An S3 server on loopback that checks signatures, with one bucket. */
export interface BucketServer extends AsyncDisposable {
  readonly port: number;
  readonly bucket: string;
  readonly credentials: Readonly<Record<string, string>>;
  /** Where the objects lie. */
  readonly folder: string;
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

/** Starts such a server. */
export async function startBucket(bucket = 'backups'): Promise<BucketServer> {
  const port = await freePort();
  const folder = scratch('bucket');
  const program = fileURLToPath(import.meta.resolve('s3rver/bin/s3rver.js'));
  const args = ['-d', folder, '-a', '127.0.0.1', '-p', String(port), '-s'];
  const child: ChildProcess = spawn(
    process.execPath,
    [program, ...args, '--no-vhost-buckets', '--configure-bucket', bucket],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const until = Date.now() + 30_000;
  while (
    !(await fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      () => false,
    ))
  ) {
    if (Date.now() > until) throw new Error('the S3 server did not start');
    await sleep(100);
  }
  return {
    port,
    bucket,
    folder,
    credentials: { AWS_ACCESS_KEY_ID: 'S3RVER', AWS_SECRET_ACCESS_KEY: 'S3RVER' },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
    },
  };
}
