import { aptPackageKind } from '#resources/apt-package';
import { aptRepositoryKind } from '#resources/apt-repository';
import { authorizedKeysKind } from '#resources/authorized-keys';
import { backupKind } from '#resources/backup';
import { certificateKind } from '#resources/certificate';
import { commandKind } from '#resources/command';
import { composeProjectKind } from '#resources/compose-project';
import { cronEntryKind } from '#resources/cron-entry';
import { directoryKind } from '#resources/directory';
import { dockerDaemonKind } from '#resources/docker-daemon';
import { dockerLoginKind } from '#resources/docker-login';
import { dockerNetworkKind } from '#resources/docker-network';
import { fail2banJailKind } from '#resources/fail2ban-jail';
import { fileKind } from '#resources/file';
import { firstBootKind } from '#resources/first-boot';
import { groupKind } from '#resources/group';
import { linkKind } from '#resources/link';
import { logrotateRuleKind } from '#resources/logrotate-rule';
import { nftTableKind } from '#resources/nft-table';
import { nginxLimitsKind } from '#resources/nginx-limits';
import { nginxSiteKind } from '#resources/nginx-site';
import { releaseKind } from '#resources/release';
import { sshSocketKind } from '#resources/ssh-socket';
import { sshdConfigKind } from '#resources/sshd-config';
import { sudoersKind } from '#resources/sudoers';
import { sysctlKind } from '#resources/sysctl';
import { systemdUnitKind } from '#resources/systemd-unit';
import { ufwKind } from '#resources/ufw';
import { ufwRuleKind } from '#resources/ufw-rule';
import { userKind } from '#resources/user';

/** Every kind the host side knows. A new kind costs its file and a line here. */
export const KINDS = [
  fileKind,
  releaseKind,
  aptPackageKind,
  directoryKind,
  linkKind,
  groupKind,
  userKind,
  authorizedKeysKind,
  sudoersKind,
  backupKind,
  certificateKind,
  composeProjectKind,
  dockerDaemonKind,
  dockerLoginKind,
  dockerNetworkKind,
  fail2banJailKind,
  logrotateRuleKind,
  nftTableKind,
  nginxLimitsKind,
  nginxSiteKind,
  ufwKind,
  ufwRuleKind,
  systemdUnitKind,
  sshdConfigKind,
  firstBootKind,
  sshSocketKind,
  sysctlKind,
  cronEntryKind,
  commandKind,
  aptRepositoryKind,
] as const;
