import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { setTimeout as wait } from 'node:timers/promises';
import { WebSocketServer } from 'ws';
import { type Counter, renderPage } from './demo-app/page.ts';
import { modeOf, readSettings, type Settings } from './demo-app/settings.ts';
import { openPostgres, openRedis, reasonOf, type Store } from './demo-app/stores.ts';

/** Milliseconds that requests in flight get after SIGTERM: Docker sends SIGKILL after ten seconds. */
const GRACE = 9000;
/** Milliseconds; longer than a proxy keeps idle connections, so that the proxy is the one who closes them. */
const KEEP_ALIVE = 75_000;
const BODY_LIMIT = 10 * 1024 ** 2;
const ENDLESS = 'text/event-stream; charset=utf-8';

interface App {
  readonly settings: Settings;
  readonly stores: readonly Store[];
  readonly stopping: AbortController;
}

type Handler = (app: App, request: IncomingMessage, response: ServerResponse, url: URL) => Promise<void>;

function answer(
  response: ServerResponse,
  status: number,
  body: string | Buffer,
  type = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body);
}

async function count(store: Store): Promise<Counter> {
  try {
    return { name: store.name, value: await store.visit() };
  } catch (error) {
    return { name: store.name, problem: reasonOf(error) };
  }
}

const page: Handler = async ({ settings, stores }, _request, response) => {
  if (modeOf(settings) === 'errors') return answer(response, 500, 'DEMO_MODE is errors\n');
  if (modeOf(settings) === 'slow') await wait(1500);
  const counters = await Promise.all(stores.map(count));
  answer(response, 200, renderPage(settings, counters, process.uptime()), 'text/html; charset=utf-8');
};

const health: Handler = async ({ settings, stores }, request, response) => {
  const mode = modeOf(settings);
  if (mode === 'unhealthy') return answer(response, 500, 'DEMO_MODE is unhealthy\n');
  if (mode === 'redirect') return void response.writeHead(301, { location: 'https://example.com/' }).end();
  if (mode === 'loop') {
    return void response.writeHead(301, { location: `https://${request.headers.host}${request.url}` }).end();
  }
  if (mode === 'hang') return;
  const checks = await Promise.allSettled(stores.map((store) => store.check()));
  const problems = stores.flatMap((store, index) => {
    const check = checks[index];
    return check?.status === 'rejected' ? [`${store.name}: ${reasonOf(check.reason)}`] : [];
  });
  if (problems.length > 0) return answer(response, 503, `${problems.join('\n')}\n`);
  answer(response, 200, 'ok\n');
};

const version: Handler = async ({ settings }, _request, response) => answer(response, 200, `${settings.version}\n`);

const slow: Handler = async ({ settings }, _request, response, url) => {
  const milliseconds = Math.min(Math.max(Number(url.searchParams.get('ms') ?? 1000) || 0, 0), 600_000);
  await wait(milliseconds);
  answer(response, 200, `${settings.version} after ${milliseconds} ms\n`);
};

const echo: Handler = async (_app, request, response) => {
  if (request.method !== 'POST') return answer(response, 405, 'POST something here\n');
  if (Number(request.headers['content-length'] ?? 0) > BODY_LIMIT) return answer(response, 413, 'At most 10 MB\n');
  answer(response, 200, await buffer(request), request.headers['content-type'] ?? 'application/octet-stream');
};

/** One event a second (`?ms=`), for ever (`?count=`); a stop of the app ends it with an event of its own. */
const stream: Handler = async ({ settings, stopping }, _request, response, url) => {
  const pause = Number(url.searchParams.get('ms') ?? 1000) || 1000;
  const count = Number(url.searchParams.get('count') ?? Number.POSITIVE_INFINITY) || 1;
  response.writeHead(200, { 'content-type': ENDLESS, 'cache-control': 'no-store', 'x-accel-buffering': 'no' });
  for (let number = 1; number <= count && !response.destroyed && !stopping.signal.aborted; number += 1) {
    response.write(`id: ${number}\ndata: ${settings.version} ${new Date().toISOString()}\n\n`);
    if (number < count) await wait(pause, undefined, { signal: stopping.signal }).catch(() => undefined);
  }
  response.end('event: end\ndata: bye\n\n');
};

/** `/status/503` answers 503: for trying what notices errors. */
const status: Handler = async (_app, _request, response, url) => {
  const code = Number(url.pathname.split('/')[2]);
  if (!Number.isInteger(code) || code < 200 || code > 599) return answer(response, 404, 'Not found\n');
  answer(response, code, `${code}\n`);
};

/** `/assets/app-<hash>.js` of this version and of no other, as a bundler would name it. */
const assets: Handler = async ({ settings }, _request, response, url) => {
  const hash = createHash('sha256').update(settings.version).digest('hex').slice(0, 10);
  if (url.pathname !== `/assets/app-${hash}.js`) return answer(response, 404, 'Not found\n');
  answer(response, 200, `console.log('${settings.version}');\n`, 'text/javascript; charset=utf-8');
};

const ROUTES: Readonly<Record<string, Handler>> = {
  '': page,
  ...{ up: health, version, slow, echo, stream, status, assets },
};

const notFound: Handler = async (_app, _request, response) => answer(response, 404, 'Not found\n');

/** One line of JSON per request, written when its answer has gone out or its client has gone away. */
function log({ settings }: App, request: IncomingMessage, response: ServerResponse): void {
  const started = performance.now();
  response.on('close', () => {
    const line = {
      at: new Date().toISOString(),
      method: request.method,
      path: request.url,
      status: response.statusCode,
      ms: Math.round((performance.now() - started) * 10) / 10,
      finished: response.writableFinished,
      requestId: request.headers['x-request-id'],
      version: settings.version,
      slot: settings.slot,
    };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  });
}

async function handle(app: App, request: IncomingMessage, response: ServerResponse): Promise<void> {
  log(app, request, response);
  response.setHeader('x-demo-version', app.settings.version);
  if (app.stopping.signal.aborted) response.setHeader('connection', 'close');
  try {
    const url = new URL(request.url ?? '/', 'http://app');
    const name = url.pathname.split('/')[1] ?? '';
    const handler = Object.hasOwn(ROUTES, name) ? ROUTES[name] : undefined;
    await (handler ?? notFound)(app, request, response, url);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    process.stderr.write(`${JSON.stringify({ at: new Date().toISOString(), path: request.url, error: reason })}\n`);
    if (response.headersSent) response.destroy();
    else answer(response, 500, 'Something went wrong\n');
  }
}

/** Echoes what arrives at /ws, and answers every new connection with the version. */
function acceptWebSockets(server: Server, { settings, stopping }: App): void {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: BODY_LIMIT });
  server.on('upgrade', (request, socket, head) => {
    if (new URL(request.url ?? '/', 'http://app').pathname !== '/ws') {
      socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, socket, head, (client) => {
      client.on('error', () => client.terminate());
      client.on('message', (message, isBinary) => client.send(message, { binary: isBinary }));
      client.send(settings.version);
    });
  });
  stopping.signal.addEventListener('abort', () => {
    for (const client of sockets.clients) client.close(1001, 'the app is stopping');
  });
}

function say(text: string): void {
  process.stdout.write(`${JSON.stringify({ at: new Date().toISOString(), message: text })}\n`);
}

/** Stops accepting, lets what is in flight finish, then leaves with 0. */
function stop(server: Server, { stores, stopping }: App, signal: string): void {
  if (stopping.signal.aborted) return;
  say(`stopping on ${signal}`);
  stopping.abort();
  const leave = async (): Promise<void> => {
    await Promise.race([Promise.allSettled(stores.map((store) => store.close())), wait(500)]);
    say('stopped');
    process.exit(0);
  };
  server.close(() => void leave());
  setTimeout(() => server.closeAllConnections(), GRACE).unref();
}

function main(): void {
  const settings = readSettings();
  const { mode, modeAfter, port, address } = settings;
  if (mode === 'crash' || mode === 'killed') {
    const end = () => {
      process.stderr.write(`Cannot go on: DEMO_MODE is ${mode}\n`);
      // 137 is how a process ends that was killed for want of memory.
      process.exit(mode === 'crash' ? 1 : 137);
    };
    setTimeout(end, modeAfter);
  }
  const stores = [
    ...(settings.databaseUrl === 'none' ? [] : [openPostgres(settings.databaseUrl)]),
    ...(settings.redisUrl === 'none' ? [] : [openRedis(settings.redisUrl)]),
  ];
  const app: App = { settings, stores, stopping: new AbortController() };
  const server = createServer((request, response) => void handle(app, request, response));
  server.keepAliveTimeout = KEEP_ALIVE;
  acceptWebSockets(server, app);
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => stop(server, app, signal));
  server.on('error', (error) => {
    process.stderr.write(`Cannot listen on port ${port}: ${error.message}\n`);
    process.exit(1);
  });
  const listen = (): void => {
    server.listen(port, address, () => say(`version ${settings.version} listens on port ${port}`));
  };
  setTimeout(listen, settings.boot);
}

main();
