import { isIP } from 'node:net';
import { commandLine, quote } from '#core/quote';
import type { Snapshot } from './guard-snapshot.ts';

const UNITS = '/etc/systemd/system';

/** The unit that undoes at boot what was not proven before it, and the link by which it is started. */
export const BOOT_UNIT = {
  path: `${UNITS}/slipway-undo.service`,
  wanted: `${UNITS}/sysinit.target.wants/slipway-undo.service`,
} as const;

/** There while the guard was armed in this very boot: it goes with a reboot, and then the boot unit acts. */
export const THIS_BOOT = '/run/slipway/guard';

/** What an undoing has to know. */
export interface Undoing {
  readonly folder: string;
  readonly before: Snapshot;
  /** Families that have to be proven. */
  readonly families: readonly number[];
  /** Whoever makes the change; fail2ban is told to let them in again. */
  readonly client: string | undefined;
}

/**
 * The script that brings a snapshot back, at once or (given the word `boot`) before sshd and the firewall start. It needs
 * nothing of ours, since it must work when we are gone; what it began it ends when it is started again.
 */
export function undoScript({ folder, before, families, client }: Undoing): string {
  const { ufw, running, tables } = before;
  const socket = running.includes('ssh.socket');
  return `#!/bin/sh
# Undoes a change that no fresh login has proven.
cd ${folder} 2>/dev/null || exit 0
exec 9>lock && flock 9
[ -e ${folder}/lock ] || exit 0
unproven=
for family in ${families.join(' ')}; do [ -e "proven-$family" ] || unproven=yes; done
if [ -z "$unproven" ]; then mv -T armed kept 2>/dev/null
else mv -T armed undoing 2>/dev/null && echo 'undoing a change that no fresh login has proven'; fi

restore() {
  rm -rf stage; mkdir stage || exit 1
  tar --extract --numeric-owner --preserve-permissions --file snapshot.tar --directory stage || exit 1
  firewall=
  for path in /etc/ufw /etc/default/ufw; do
    diff --recursive --brief "stage$path" "$path" >/dev/null 2>&1 || firewall=changed
  done
  for unit in ${UNITS}/slipway-nft-*.service; do
    [ -e "$unit" ] && [ ! -e "stage$unit" ] || continue
    [ -n "$boot" ] || systemctl stop "\${unit##*/}"
    rm -f "$unit" "${UNITS}/sysinit.target.wants/\${unit##*/}"
  done
  # A folder is put in the place of another only once that is empty, and whoever else writes there (systemd-tmpfiles makes
  # /etc/ssh/sshd_config.d at each boot) may be quicker.
  while read -r path; do
    if [ ! -e "stage$path" ] && [ ! -L "stage$path" ]; then rm -rf "$path"; continue; fi
    mkdir -p "\${path%/*}"
    rm -rf "$path.slipway-undo"
    cp -a "stage$path" "$path.slipway-undo"
    tries=0
    until mv -fT "$path.slipway-undo" "$path" 2>/dev/null || [ $tries -ge 100 ]; do
      rm -rf "$path"
      tries=$((tries + 1))
    done
  done < paths
  sync
}

boot=$1
if [ -e undoing ]; then
  restore
  rm -f ${BOOT_UNIT.path} ${BOOT_UNIT.wanted}
  systemctl daemon-reload
  if [ -n "$boot" ]; then
    ${[...running, ...tables].map((unit) => `systemctl --no-block start ${quote(unit)}`).join('\n    ') || ':'}
  else
    install -d -m 0755 /run/sshd
    systemctl reset-failed ssh.service ssh.socket 2>/dev/null
    ${sshd(socket, running.includes('ssh.service'))}
    if [ -n "$firewall" ] && command -v ufw >/dev/null; then
      ${ufw ? 'ufw reload' : 'ufw --force disable'}
    fi
    ${tables.map((unit) => commandLine(['systemctl', 'reload-or-restart', unit])).join('\n    ') || ':'}
    ${client !== undefined && isIP(client) !== 0 ? `! command -v fail2ban-client >/dev/null || fail2ban-client unban ${quote(client)}` : ':'}
  fi
fi
rm -f ${BOOT_UNIT.path} ${BOOT_UNIT.wanted} ${THIS_BOOT}
rm -rf ${folder}
`;
}

// A socket cannot be bound anew while its service runs, and whoever comes meanwhile would start it. Sessions are processes
// of their own and stay.
function sshd(socket: boolean, service: boolean): string {
  if (socket) return 'systemctl stop ssh.socket; systemctl stop ssh.service; systemctl start ssh.socket';
  const reload = 'systemctl reload-or-restart ssh.service || systemctl restart ssh.service';
  return `systemctl --quiet is-active ssh.socket && systemctl stop ssh.socket\n    ${service ? reload : ':'}`;
}

/** The boot unit: before whatever lets somebody in or keeps somebody out is started. */
export function bootUnit(folder: string): string {
  return `[Unit]
Description=Undo a change to SSH, firewall or users that no fresh login has proven
DefaultDependencies=no
RequiresMountsFor=${folder}
After=local-fs.target systemd-tmpfiles-setup.service
Before=sysinit.target network-pre.target ssh.service ssh.socket ufw.service nftables.service fail2ban.service
Before=shutdown.target
Conflicts=shutdown.target
ConditionPathExists=!${THIS_BOOT}
ConditionPathExists=${folder}/undo.sh

[Service]
Type=oneshot
ExecStart=/bin/sh ${folder}/undo.sh boot
`;
}
