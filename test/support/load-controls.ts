import { certificatePaths } from '#playbook/resources';
import { run, type SandboxHost } from '#sandbox/sandbox';

/** A way of releasing that people use, on the same host and with the same app, so that a load is known to see losses. */
export interface Control {
  /** The port at which nginx answers for it, over https. */
  readonly port: number;
  /** Brings an image up; what `nginx -s reload` or Compose does to requests on the way is theirs. */
  deploy(image: string): Promise<void>;
}

export type ControlName = 'compose' | 'reload';

const FOLDER = '/root/control';

interface Place {
  readonly domain: string;
  readonly host: SandboxHost;
  /** Milliseconds the app takes to boot. */
  readonly boot: number;
}

async function must(name: string, script: string): Promise<void> {
  const { exitCode, stdout, stderr } = await run(name, ['sh', '-euc', script], { timeout: 120 });
  if (exitCode !== 0) throw new Error(`${script}\nended with ${exitCode}:\n${stdout}${stderr}`);
}

function compose(name: string, port: number, boot: number): string {
  return `name: ${name}
services:
  web:
    image: \${IMAGE}
    restart: unless-stopped
    ports: ["127.0.0.1:${port}:3000"]
    environment: { DATABASE_URL: none, REDIS_URL: none, DEMO_BOOT_MS: "${boot}" }
`;
}

function site(domain: string, port: number, upstream: string): string {
  const { chain, key } = certificatePaths(domain);
  return `server {
  listen ${port} ssl;
  http2 on;
  server_name ${domain};
  ssl_certificate ${chain};
  ssl_certificate_key ${key};
  location / {
    proxy_pass ${upstream};
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $control_connection;
    proxy_read_timeout 1h;
  }
}
`;
}

const MAP = `map $http_upgrade $control_connection { default upgrade; '' close; }\n`;

// A blue/green as it is written by hand: start the other colour, wait until it answers, point nginx at it, reload, give
// the old one time, stop it.
const BLUE_GREEN = `#!/bin/sh
set -eu
cd ${FOLDER}
if grep -q 8081 upstream.conf; then new=green port=8082 old=blue; else new=blue port=8081 old=green; fi
IMAGE=$1 docker compose --file $new.yaml up --detach
tries=0
until wget --quiet --output-document=/dev/null http://127.0.0.1:$port/up; do
  tries=$((tries + 1)); test $tries -lt 100; sleep 0.1
done
echo "upstream control { server 127.0.0.1:$port; }" > upstream.conf
nginx -t -q
nginx -s reload
sleep 5
IMAGE=$1 docker compose --file $old.yaml stop
`;

/** The port of each way, so that one can stand in front of it. */
export const CONTROL_PORTS: Readonly<Record<ControlName, number>> = { compose: 8443, reload: 8444 };

/** Prepares one of the ways on a host that Slipway brought up, and starts a first image; its port is opened in ufw. */
export async function control(name: ControlName, place: Place, image: string): Promise<Control> {
  const { host, domain, boot } = place;
  const port = CONTROL_PORTS[name];
  const write = (file: string, text: string) => run(host.name, ['tee', file], { input: text });
  await must(
    host.name,
    `mkdir -p ${FOLDER}; command -v wget || { apt-get update --quiet; apt-get install --yes --quiet wget; }`,
  );
  await must(host.name, `ufw allow ${port}/tcp`);
  await write('/etc/nginx/conf.d/control.conf', MAP);
  if (name === 'compose') {
    await write(`${FOLDER}/plain.yaml`, compose('control-plain', 8080, boot));
    await write('/etc/nginx/sites-enabled/control-plain.conf', site(domain, port, 'http://127.0.0.1:8080'));
    const up = (wanted: string) => `IMAGE=${wanted} docker compose --file ${FOLDER}/plain.yaml up --detach`;
    await must(host.name, `${up(image)}; nginx -s reload; sleep 3`);
    return { port, deploy: (wanted) => must(host.name, up(wanted)) };
  }
  await write(`${FOLDER}/blue.yaml`, compose('control-blue', 8081, boot));
  await write(`${FOLDER}/green.yaml`, compose('control-green', 8082, boot));
  await write(`${FOLDER}/upstream.conf`, 'upstream control { server 127.0.0.1:8082; }\n');
  await write(`${FOLDER}/release`, BLUE_GREEN);
  const text = `include ${FOLDER}/upstream.conf;\n${site(domain, port, 'http://control')}`;
  await write('/etc/nginx/sites-enabled/control-reload.conf', text);
  const release = (wanted: string) => `sh ${FOLDER}/release ${wanted}`;
  await must(host.name, release(image));
  return { port, deploy: (wanted) => must(host.name, release(wanted)) };
}
