import { debian } from './debian.ts';
import type { Image } from './image.ts';
import { installed } from './layers.ts';

/**
 * What starts Redis in its container. Redis refuses strangers unless it is told not to; the official image is built not
 * to, since a container has only strangers.
 */
export const REDIS_ENTRYPOINT = `#!/bin/sh
set -eu

case "\${1:-redis-server}" in
  -* | *.conf) set -- redis-server "$@" ;;
esac
[ $# -gt 0 ] || set -- redis-server

if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
  find . ! -user redis -exec chown redis {} +
  export HOME=/data
  exec setpriv --reuid redis --regid redis --init-groups --inh-caps=-all -- "$0" "$@"
fi

if [ "$1" = redis-server ]; then
  [ "$(umask)" != 0022 ] || umask 0077
  mentioned=no
  for argument in "$@"; do
    case "$argument" in
      --protected-mode* | --version | -v | --help | -h) mentioned=yes ;;
      *.conf) ! grep -qiE '^[[:space:]]*protected-mode' "$argument" 2> /dev/null || mentioned=yes ;;
    esac
  done
  [ "$mentioned" = yes ] || set -- "$@" --protected-mode no
fi

exec "$@"
`;

const layer = installed('redis', {
  accounts: `
groupadd --system --gid 1000 redis
useradd --system --uid 999 --gid redis --home-dir /data --shell /usr/sbin/nologin redis
`,
  packages: ['libatomic1', 'libjemalloc2', 'liblzf1', 'libssl3t64', 'libstdc++6', 'libsystemd0'],
  unpack: ['redis-server', 'redis-tools'],
  script: 'install --directory --owner=redis --group=redis --mode=0755 /data',
  files: { 'usr/local/bin/docker-entrypoint.sh': { content: REDIS_ENTRYPOINT, mode: 0o755 } },
  without: ['etc/init.d/redis-server', 'etc/default/redis-server', 'usr/lib/systemd'],
});

/** `redis:8`: Debian 13's Redis 8, started and laid out as in the official image (which adds modules that this lacks). */
export const redis: Image = {
  layers: [debian, layer],
  run: {
    Entrypoint: ['docker-entrypoint.sh'],
    Cmd: ['redis-server'],
    WorkingDir: '/data',
    Volumes: { '/data': {} },
    ExposedPorts: { '6379/tcp': {} },
  },
  alsoKnownAs: ['library/redis:8'],
};
