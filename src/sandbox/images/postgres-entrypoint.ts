/**
 * What starts PostgreSQL in its container: environment, initialisation and messages as documented for the official
 * image (its description on Docker Hub), so that what works here works there.
 */
export const POSTGRES_ENTRYPOINT = `#!/bin/bash
set -Eeuo pipefail

fail() {
  printf 'Error: %s\\n' "$@" >&2
  exit 1
}

# A setting comes from NAME or, for secrets in files, from the file that NAME_FILE names.
setting() {
  local name=$1 from_file=$1_FILE value=\${2:-}
  if [ -n "\${!name:-}" ]; then
    [ -z "\${!from_file:-}" ] || fail "both $name and $from_file are set (but are exclusive)"
    value=\${!name}
  elif [ -n "\${!from_file:-}" ]; then
    value=$(< "\${!from_file}")
  fi
  export "$name=$value"
  unset "$from_file"
}

read_settings() {
  setting POSTGRES_PASSWORD
  setting POSTGRES_USER postgres
  setting POSTGRES_DB "$POSTGRES_USER"
  setting POSTGRES_INITDB_ARGS
  : "\${POSTGRES_HOST_AUTH_METHOD:=}" "\${POSTGRES_INITDB_WALDIR:=}"
}

# The data, the write-ahead log and the socket's folder belong to whom the server runs as.
make_folders() {
  mkdir -p "$PGDATA"
  chmod 0700 "$PGDATA" || true
  mkdir -p /run/postgresql
  chmod 3775 /run/postgresql || true
  local folders=("$PGDATA" /run/postgresql)
  if [ -n "\${POSTGRES_INITDB_WALDIR:-}" ]; then
    mkdir -p "$POSTGRES_INITDB_WALDIR"
    chmod 0700 "$POSTGRES_INITDB_WALDIR"
    folders+=("$POSTGRES_INITDB_WALDIR")
  fi
  [ "$(id -u)" != 0 ] || find "\${folders[@]}" ! -user postgres -exec chown postgres {} +
}

demand_password() {
  [ -z "$POSTGRES_PASSWORD" ] || [ "$POSTGRES_HOST_AUTH_METHOD" = trust ] || return 0
  [ "$POSTGRES_HOST_AUTH_METHOD" = trust ] || fail \\
    'Database is uninitialized and superuser password is not specified.' \\
    '       You must specify POSTGRES_PASSWORD to a non-empty value for the superuser.' \\
    '       For example, "-e POSTGRES_PASSWORD=password" on "docker run".'
  echo 'WARNING: POSTGRES_HOST_AUTH_METHOD is "trust": anyone who reaches the port can do anything, without a password.' >&2
}

create_cluster() {
  local -a options=()
  # The arguments are shell words, as people write them: --data-checksums --wal-segsize="64"
  eval "options=($POSTGRES_INITDB_ARGS)"
  [ -z "$POSTGRES_INITDB_WALDIR" ] || options+=(--waldir "$POSTGRES_INITDB_WALDIR")
  if [ -n "$POSTGRES_PASSWORD" ]; then
    initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\\n' "$POSTGRES_PASSWORD") "\${options[@]}"
  else
    initdb --username="$POSTGRES_USER" "\${options[@]}"
  fi
  local method=$POSTGRES_HOST_AUTH_METHOD
  [ -n "$method" ] || method=$(postgres -C password_encryption "$@")
  printf '\\nhost all all all %s\\n' "$method" >> "$PGDATA/pg_hba.conf"
}

# Used by init scripts too: those that are sourced find it by the name that the official image gives it.
docker_process_sql() {
  local -a database=()
  [ -z "$POSTGRES_DB" ] || database=(--dbname "$POSTGRES_DB")
  PGHOST='' PGHOSTADDR='' psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password --no-psqlrc "\${database[@]}" "$@"
}

create_database() {
  local there
  there=$(POSTGRES_DB= docker_process_sql --dbname postgres --set db="$POSTGRES_DB" --tuples-only --no-align \\
    <<< "SELECT 1 FROM pg_database WHERE datname = :'db';")
  [ -n "$there" ] || POSTGRES_DB= docker_process_sql --dbname postgres --set db="$POSTGRES_DB" <<< 'CREATE DATABASE :"db";'
}

run_init_files() {
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh)
        if [ -x "$file" ]; then
          echo "$0: running $file"
          "$file"
        else
          echo "$0: sourcing $file"
          . "$file"
        fi
        ;;
      *.sql) echo "$0: running $file"; docker_process_sql -f "$file"; echo ;;
      *.sql.gz) echo "$0: running $file"; gunzip -c "$file" | docker_process_sql; echo ;;
      *.sql.xz) echo "$0: running $file"; xzcat "$file" | docker_process_sql; echo ;;
      *.sql.zst) echo "$0: running $file"; zstd -dc "$file" | docker_process_sql; echo ;;
      */'*') ;;
      *) echo "$0: ignoring $file" ;;
    esac
  done
}

# While it is being initialised the server is reached over its socket only: who waits for the port waits for the end.
initialise() {
  ls /docker-entrypoint-initdb.d/ > /dev/null
  demand_password
  create_cluster "$@"
  export PGPASSWORD="\${PGPASSWORD:-$POSTGRES_PASSWORD}"
  local options
  options=$(printf '%q ' "$@" -c listen_addresses= -p "\${PGPORT:-5432}")
  PGUSER="\${PGUSER:-$POSTGRES_USER}" pg_ctl -D "$PGDATA" -o "$options" -w start
  create_database
  run_init_files
  PGUSER="\${PGUSER:-postgres}" pg_ctl -D "$PGDATA" -m fast -w stop
  unset PGPASSWORD
  printf '\\nPostgreSQL init process complete; ready for start up.\\n\\n'
}

only_asks() {
  local argument
  for argument in "$@"; do
    case $argument in
      -\\? | --help | --describe-config | -V | --version | -C) return 0 ;;
    esac
  done
  return 1
}

case "\${1:-}" in
  '' | -*) set -- postgres "$@" ;;
esac

if [ "$1" = postgres ] && ! only_asks "$@"; then
  make_folders
  if [ "$(id -u)" = 0 ]; then
    export HOME=/var/lib/postgresql
    exec setpriv --reuid postgres --regid postgres --init-groups -- "$0" "$@"
  fi
  if [ -s "$PGDATA/PG_VERSION" ]; then
    printf '\\nPostgreSQL Database directory appears to contain a database; Skipping initialization\\n\\n'
  else
    read_settings
    initialise "\${@:2}"
  fi
fi

exec "$@"
`;
