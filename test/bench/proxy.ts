import { certificatePaths } from '#playbook/resources';
import { run, type SandboxHost, setRecord } from '#sandbox/sandbox';
import { deploy } from './deploy.ts';
import { benchHosts, demoInternet } from './hosts.ts';
import { median } from './measure.ts';
import { DOMAIN, makeProject, wayTo } from './project.ts';
import { circumstances, print, row, table } from './report.ts';

const NAME = 'bench-proxy';
/** Seconds of one measurement. */
const SECONDS = 2;
const MINIMAL_PORT = 8443;
const BACKEND = '/root/backend.conf';

async function must(host: SandboxHost, script: string, input?: string): Promise<string> {
  const options = { timeout: 180, ...(input === undefined ? {} : { input }) };
  const { exitCode, stdout, stderr } = await run(host.name, ['sh', '-euc', script], options);
  if (exitCode !== 0) throw new Error(`${script}\nended with ${exitCode}:\n${stdout}${stderr}`);
  return stdout.trim();
}

// What a person writes who knows nginx and wants nothing but the requests passed on, with the same certificate, the same
// TLS, connections to the app kept, and the distribution's access log.
function minimal(address: string): string {
  const { chain, key } = certificatePaths(DOMAIN);
  return `upstream minimal { server ${address}; keepalive 64; }
server {
  listen ${MINIMAL_PORT} ssl;
  http2 on;
  server_name ${DOMAIN};
  ssl_certificate ${chain};
  ssl_certificate_key ${key};
  include snippets/slipway-tls.conf;
  location / {
    proxy_http_version 1.1;
    proxy_set_header Connection '';
    proxy_pass http://minimal;
  }
}
`;
}

// An app that costs next to nothing, so that it is the proxy that is measured.
function backend(address: string): string {
  return `pid /run/backend.pid; worker_processes 1; error_log /dev/null;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000; server { listen ${address}; location / { return 200 "ok\\n"; } } }
`;
}

/** Puts a quick answerer in the place of the app's container, at the very address that nginx passes requests on to. */
async function replaceApp(host: SandboxHost): Promise<string> {
  const address = await must(
    host,
    "sed -n '/_blue {/,/}/s/.*server \\([0-9.:]*\\).*/\\1/p' /etc/nginx/conf.d/slipway-bench-routes.conf",
  );
  await must(host, 'docker stop --time 1 $(docker ps --quiet --filter name=bench-blue)');
  await must(host, `ip address add ${address.split(':')[0]}/32 dev lo`);
  await must(host, `cat > ${BACKEND}; nginx -c ${BACKEND}`, backend(address));
  await must(host, 'cat > /etc/nginx/sites-enabled/minimal.conf; nginx -s reload', minimal(address));
  await must(host, `echo '127.0.0.1 ${DOMAIN}' >> /etc/hosts; apt-get install --yes --quiet wrk`);
  return address;
}

interface Measured {
  /** Requests a second. */
  readonly rate: number;
  readonly requests: number;
  /** Nanoseconds that nginx's workers had the processor: what else the machine does hardly touches it. */
  readonly spent: number;
}

/** Nanoseconds that nginx's workers have had the processor (proc(5), schedstat). */
async function spent(host: SandboxHost): Promise<number> {
  const script = "for pid in $(pgrep -P $(cat /run/nginx.pid)); do cut -d' ' -f1 /proc/$pid/schedstat; done";
  return (await must(host, script)).split('\n').reduce((sum, line) => sum + Number(line), 0);
}

/** Microseconds of nginx's for a request. */
function costOf(runs: readonly Measured[]): number {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  return sum(runs.map(({ spent: nanoseconds }) => nanoseconds)) / 1000 / sum(runs.map(({ requests }) => requests));
}

async function measure(host: SandboxHost, port: number): Promise<Measured> {
  const before = await spent(host);
  const said = await must(host, `wrk --threads 1 --connections 32 --duration ${SECONDS}s https://${DOMAIN}:${port}/`);
  if (/Non-2xx/.test(said)) throw new Error(said);
  const requests = Number(/(\d+) requests in/.exec(said)?.[1]);
  const rate = Number(/Requests\/sec:\s+([\d.]+)/.exec(said)?.[1]);
  return { rate, requests, spent: (await spent(host)) - before };
}

/** What the rendered configuration costs against one that does nothing but pass requests on, in turns. */
export async function proxyBench(rounds = 20): Promise<void> {
  const there = await demoInternet();
  await using hosts = await benchHosts([NAME]);
  const [host] = hosts;
  if (host === undefined) return;
  using project = makeProject([wayTo(host)], there);
  await setRecord(DOMAIN, { a: [host.address], aaaa: [host.address6] });
  console.error('bringing the host up');
  await deploy('up', project);
  await replaceApp(host);
  const conditions = circumstances();
  const ports = [443, MINIMAL_PORT];
  const measured = new Map<number, Measured[]>(ports.map((port) => [port, []]));
  for (let round = 0; round <= rounds; round += 1) {
    console.error(round === 0 ? 'warming up' : `round ${round} of ${rounds}`);
    for (const port of round % 2 === 0 ? ports : ports.toReversed()) {
      const one = await measure(host, port);
      if (round > 0) measured.get(port)?.push(one);
    }
  }
  const [ours = [], theirs = []] = ports.map((port) => (measured.get(port) ?? []).map(({ rate }) => rate));
  // Over all runs together: in a run that hardly got the processor, the handshakes of its beginning would count too much.
  const [ourCost = 0, theirCost = 0] = ports.map((port) => costOf(measured.get(port) ?? []));
  const head = ['requests a second', 'runs', 'least', 'median', 'most'];
  const line = (name: string, values: readonly number[]) => [
    name,
    String(values.length),
    ...[Math.min(...values), median(values), Math.max(...values)].map((value) => value.toFixed(0)),
  ];
  console.log(table([head, line('rendered by Slipway', ours), line('minimal proxy_pass', theirs)]));
  // Each round's own ratio: what the machine did besides met both halves of a round alike.
  const ratios = ours.map((value, index) => value / (theirs[index] ?? 1));
  print(
    'proxy',
    [
      row({
        ...{ name: 'throughput of nginx, https', link: 'direct', unit: 'req/s' },
        ...{ slipway: median(theirs) * median(ratios), peer: 'minimal proxy_pass', peerValue: median(theirs) },
      }),
      row({
        ...{ name: 'processor time of nginx for a request', link: 'direct', unit: 'µs' },
        ...{ slipway: ourCost, peer: 'minimal proxy_pass', peerValue: theirCost },
      }),
    ],
    [`ratios of the single rounds: ${ratios.map((ratio) => ratio.toFixed(3)).join(' ')}`, conditions],
  );
}
