import { debian } from './debian.ts';
import type { Image } from './image.ts';
import { installed } from './layers.ts';

/**
 * What starts MariaDB in its container: environment and initialisation as documented for the official image (its
 * description on Docker Hub), so that what works here works there.
 */
const MARIADB_ENTRYPOINT = `#!/bin/bash
set -Eeuo pipefail
shopt -s nullglob

fail() {
  printf '[ERROR] [Entrypoint]: %s\\n' "$@" >&2
  exit 1
}

# A setting comes from MARIADB_NAME or MYSQL_NAME or, for secrets in files, from the file that either with _FILE names.
setting() {
  local prefix variable file
  for prefix in MARIADB MYSQL; do
    variable=\${prefix}_$1
    file=\${variable}_FILE
    [ -z "\${!variable:-}" ] || { printf '%s' "\${!variable}"; return; }
    [ -z "\${!file:-}" ] || { printf '%s' "$(< "\${!file}")"; return; }
  done
}

# As one text of SQL, whatever is in it.
quoted() {
  local text=\${1//\\\\/\\\\\\\\}
  printf "'%s'" "\${text//\\'/\\'\\'}"
}

sql() {
  mariadb --user=root --socket=/run/mysqld/mysqld.sock --database="\${1:-}"
}

initialise() {
  local root database user
  root=$(setting ROOT_PASSWORD)
  if [ -z "$root" ] && [ -n "$(setting RANDOM_ROOT_PASSWORD)" ]; then
    root=$(head -c 24 /dev/urandom | base64)
    echo "[Note] [Entrypoint]: GENERATED ROOT PASSWORD: $root"
  fi
  if [ -z "$root" ] && [ -z "$(setting ALLOW_EMPTY_ROOT_PASSWORD)$(setting ALLOW_EMPTY_PASSWORD)" ]; then
    fail 'Database is uninitialized and password option is not specified' \\
      '        You need to specify one of MARIADB_ROOT_PASSWORD, MARIADB_ALLOW_EMPTY_ROOT_PASSWORD and MARIADB_RANDOM_ROOT_PASSWORD'
  fi
  mariadb-install-db --datadir=/var/lib/mysql --auth-root-authentication-method=normal --skip-test-db \\
    --skip-log-bin --loose-innodb_buffer_pool_size=32M > /dev/null
  "$@" --skip-networking --skip-log-bin --socket=/run/mysqld/mysqld.sock &
  local server=$!
  until sql <<< 'SELECT 1' > /dev/null 2>&1; do
    kill -0 "$server" 2> /dev/null || fail 'Unable to start server.'
    sleep 0.2
  done
  database=$(setting DATABASE)
  user=$(setting USER)
  {
    [ -z "$database" ] || echo "CREATE DATABASE IF NOT EXISTS \\\`$database\\\`;"
    if [ -n "$user" ]; then
      echo "CREATE USER $(quoted "$user")@'%' IDENTIFIED BY $(quoted "$(setting PASSWORD)");"
      [ -z "$database" ] || echo "GRANT ALL ON \\\`\${database//_/\\\\_}\\\`.* TO $(quoted "$user")@'%';"
    fi
    echo "CREATE USER root@'%' IDENTIFIED BY $(quoted "$root");"
    echo "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;"
  } | sql
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh) . "$file" ;;
      *.sql) sql "$database" < "$file" ;;
      *.sql.gz) gunzip -c "$file" | sql "$database" ;;
      *.sql.xz) xzcat "$file" | sql "$database" ;;
      *.sql.zst) zstd -dc "$file" | sql "$database" ;;
      *) echo "[Warn] [Entrypoint]: ignoring $file" ;;
    esac
  done
  echo "SET PASSWORD FOR root@localhost = PASSWORD($(quoted "$root"));" | sql
  kill "$server"
  wait "$server"
}

case "\${1:-}" in
  '' | -*) set -- mariadbd "$@" ;;
esac

if [ "$1" = mariadbd ] || [ "$1" = mysqld ]; then
  if [ "$(id -u)" = 0 ]; then
    mkdir -p /var/lib/mysql /run/mysqld
    find /var/lib/mysql /run/mysqld ! -user mysql -exec chown mysql: {} +
    exec setpriv --reuid mysql --regid mysql --init-groups -- "$0" "$@"
  fi
  [ -d /var/lib/mysql/mysql ] || initialise "$@"
  for variable in $(compgen -v | grep -E '^(MARIADB|MYSQL)_.*PASSWORD' || true); do unset "$variable"; done
fi

exec "$@"
`;

const SETTINGS = `[mariadbd]
host-cache-size = 0
skip-name-resolve
socket = /run/mysqld/mysqld.sock
datadir = /var/lib/mysql
`;

const layer = installed('mariadb-11', {
  accounts: `
groupadd --system --gid 999 mysql
useradd --system --uid 999 --gid mysql --home-dir /var/lib/mysql --shell /usr/sbin/nologin mysql
`,
  packages: ['mariadb-server-core', 'mariadb-client-core', 'libpcre2-posix3', 'zstd', 'xz-utils'],
  unpack: ['mariadb-client'],
  script: `
install --directory --owner=mysql --group=mysql --mode=0755 /var/lib/mysql /run/mysqld
install --directory /docker-entrypoint-initdb.d
`,
  files: {
    'usr/local/bin/docker-entrypoint.sh': { content: MARIADB_ENTRYPOINT, mode: 0o755 },
    'etc/mysql/conf.d/docker.cnf': { content: SETTINGS },
  },
});

/** `mariadb:11`: Debian 13's MariaDB 11, started and laid out as in the official image. */
export const mariadb: Image = {
  layers: [debian, layer],
  run: {
    Entrypoint: ['docker-entrypoint.sh'],
    Cmd: ['mariadbd'],
    Volumes: { '/var/lib/mysql': {} },
    ExposedPorts: { '3306/tcp': {} },
  },
  alsoKnownAs: ['library/mariadb:11'],
};
