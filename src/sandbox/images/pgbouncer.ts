import { debian } from './debian.ts';
import type { Image } from './image.ts';
import { installed } from './layers.ts';

const layer = installed('pgbouncer', {
  accounts: `
groupadd --system --gid 70 postgres
useradd --system --uid 70 --gid postgres --home-dir /var/lib/postgresql --shell /bin/sh postgres
`,
  packages: ['libcares2', 'libevent-2.1-7t64', 'libpam0g', 'libssl3t64', 'libsystemd0'],
  unpack: ['pgbouncer'],
  script: `
ln -s ../sbin/pgbouncer /usr/bin/pgbouncer
install --directory --owner=postgres --group=postgres --mode=0755 /etc/pgbouncer /var/log/pgbouncer /run/pgbouncer
`,
  without: ['etc/init.d/pgbouncer', 'etc/pgbouncer/*', 'usr/lib/systemd'],
});

/** `pgbouncer:1`: Debian 13's PgBouncer, run by uid 70 with a configuration that is mounted, as in edoburu/pgbouncer. */
export const pgbouncer: Image = {
  layers: [debian, layer],
  run: {
    User: 'postgres',
    Cmd: ['/usr/bin/pgbouncer', '/etc/pgbouncer/pgbouncer.ini'],
    ExposedPorts: { '5432/tcp': {} },
  },
  alsoKnownAs: ['edoburu/pgbouncer:latest'],
};
