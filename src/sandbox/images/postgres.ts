import { debian } from './debian.ts';
import type { Image } from './image.ts';
import { installed } from './layers.ts';
import { POSTGRES_ENTRYPOINT } from './postgres-entrypoint.ts';

const layer = installed('postgres-17', {
  accounts: `
groupadd --system --gid 999 postgres
useradd --system --uid 999 --gid postgres --home-dir /var/lib/postgresql --shell /bin/bash postgres
`,
  packages: [
    ...['libpq5', 'libxml2', 'libxslt1.1', 'libldap2', 'libgssapi-krb5-2', 'libreadline8t64', 'libedit2', 'libicu76'],
    ...['libpam0g', 'libssl3t64', 'libsystemd0', 'libuuid1', 'liblz4-1', 'libzstd1', 'tzdata', 'xz-utils', 'zstd'],
  ],
  unpack: ['postgresql-17', 'postgresql-client-17'],
  script: `
sed -ri "s/^#?listen_addresses *=.*/listen_addresses = '*'/" /usr/share/postgresql/17/postgresql.conf.sample
grep -q "^listen_addresses = '\\*'" /usr/share/postgresql/17/postgresql.conf.sample
install --directory --owner=postgres --group=postgres --mode=1777 /var/lib/postgresql /var/lib/postgresql/data
install --directory --owner=postgres --group=postgres --mode=3777 /run/postgresql
install --directory /docker-entrypoint-initdb.d
`,
  files: { 'usr/local/bin/docker-entrypoint.sh': { content: POSTGRES_ENTRYPOINT, mode: 0o755 } },
  // Compiling queries to machine code takes LLVM, 120 MB that nothing in a sandbox makes up for; PostgreSQL does without.
  without: ['usr/lib/postgresql/17/lib/bitcode', 'usr/lib/postgresql/17/lib/llvmjit*', 'usr/share/postgresql-common'],
});

/** `postgres:17`: Debian 13's PostgreSQL 17, started and laid out as in the official image. */
export const postgres: Image = {
  layers: [debian, layer],
  run: {
    Entrypoint: ['docker-entrypoint.sh'],
    Cmd: ['postgres'],
    Env: [
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/17/bin',
      'LANG=C.UTF-8',
      'PG_MAJOR=17',
      'PGDATA=/var/lib/postgresql/data',
    ],
    StopSignal: 'SIGINT',
    Volumes: { '/var/lib/postgresql/data': {} },
    ExposedPorts: { '5432/tcp': {} },
  },
  alsoKnownAs: ['library/postgres:17'],
};
