import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { alarmText, failureUrl, tell } from '#backup/ping';
import { run } from '#core/run';
import { scratch } from '#test/support/scratch';

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

interface Heard {
  readonly url: string | undefined;
  readonly body: string;
}

async function listen(status: number): Promise<{ base: string; heard: Heard[] }> {
  const heard: Heard[] = [];
  server = createServer(async (request: IncomingMessage, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    heard.push({ url: request.url, body });
    response.writeHead(status).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { base: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, heard };
}

test('alarms go below the URL of the ping, before its query', () => {
  expect(failureUrl('https://hc.example.com/uuid')).toBe('https://hc.example.com/uuid/fail');
  expect(failureUrl('https://hc.example.com/uuid/?create=1')).toBe('https://hc.example.com/uuid/fail?create=1');
});

test('the receiver gets the text, and only a good answer counts as heard', async () => {
  const { base, heard } = await listen(200);
  expect(await tell(`${base}/uuid`, 'all is well: é')).toBeUndefined();
  expect(heard).toEqual([{ url: '/uuid', body: 'all is well: é' }]);
  server?.close();
  const refusing = await listen(503);
  expect(await tell(`${refusing.base}/uuid`, 'x')).toBe('it answers 503');
});

test('a receiver that is not there is a reason, never an error', async () => {
  const { base } = await listen(200);
  server?.close();
  server?.closeAllConnections();
  expect(await tell(`${base}/uuid`, 'x')).toContain('ECONNREFUSED');
  expect(await tell('https://nowhere.invalid/uuid', 'x')).toMatch(/nowhere\.invalid/);
});

test('https of an authority that nobody here knows, and a redirection, reach nobody', async () => {
  const folder = scratch('ping');
  const [key, cert] = [join(folder, 'key'), join(folder, 'cert')];
  const args = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-subj', '/CN=localhost'];
  await run([
    'openssl',
    'req',
    '-x509',
    ...args,
    '-addext',
    'subjectAltName=DNS:localhost',
    '-keyout',
    key,
    '-out',
    cert,
  ]);
  const asked: unknown[] = [];
  const foreign = createHttps({ key: readFileSync(key), cert: readFileSync(cert) }, (request) =>
    asked.push(request.url),
  );
  foreign.listen(0, '127.0.0.1');
  await once(foreign, 'listening');
  const why = await tell(`https://localhost:${(foreign.address() as AddressInfo).port}/uuid`, 'x');
  foreign.close();
  expect(why).toMatch(/self.signed/);
  expect(asked).toEqual([]);
  const { base } = await listen(302);
  expect(await tell(`${base}/uuid`, 'x')).toBe('it answers 302');
});

test('a thousand alarms are cut to what a receiver keeps', () => {
  const many = Array.from({ length: 1000 }, (_, index) => ({ message: `m${index}`, hint: '`x`' }));
  expect(alarmText('backups of shop', many)).toMatch(/^backups of shop: 1000 alarms\n- m0\n {2}`x`\n/);
  expect(alarmText('backups of shop', many).length).toBeLessThanOrEqual(10_000);
  expect(alarmText('backups of shop', many.slice(0, 1))).toMatch(/^backups of shop: an alarm\n/);
});
