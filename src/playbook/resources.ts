import { aptPackageKind } from '#resources/apt-package';
import { authorizedKeysKind } from '#resources/authorized-keys';
import { composeProjectKind } from '#resources/compose-project';
import { directoryKind } from '#resources/directory';
import { dockerDaemonKind } from '#resources/docker-daemon';
import { dockerLoginKind } from '#resources/docker-login';
import { dockerNetworkKind } from '#resources/docker-network';
import { fail2banJailKind } from '#resources/fail2ban-jail';
import { fileKind } from '#resources/file';
import { groupKind } from '#resources/group';
import { linkKind } from '#resources/link';
import { logrotateRuleKind } from '#resources/logrotate-rule';
import { nftTableKind } from '#resources/nft-table';
import { nginxSiteKind } from '#resources/nginx-site';
import { releaseKind } from '#resources/release';
import { declares } from '#resources/resource';
import { sudoersKind } from '#resources/sudoers';
import { systemdUnitKind } from '#resources/systemd-unit';
import { ufwKind } from '#resources/ufw';
import { ufwRuleKind } from '#resources/ufw-rule';
import { userKind } from '#resources/user';

// The public door of playbooks: one constructor for each kind.

export { reload, restart } from '#resources/resource';

export const file = declares(fileKind);
export const release = declares(releaseKind);
export const aptPackage = declares(aptPackageKind);
export const directory = declares(directoryKind);
export const link = declares(linkKind);
export const group = declares(groupKind);
export const user = declares(userKind);
export const authorizedKeys = declares(authorizedKeysKind);
export const sudoers = declares(sudoersKind);
export const composeProject = declares(composeProjectKind);
export const dockerDaemon = declares(dockerDaemonKind);
export const dockerLogin = declares(dockerLoginKind);
export const dockerNetwork = declares(dockerNetworkKind);
export const fail2banJail = declares(fail2banJailKind);
export const logrotateRule = declares(logrotateRuleKind);
export const nftTable = declares(nftTableKind);
export const nginxSite = declares(nginxSiteKind);
export const ufw = declares(ufwKind);
export const ufwRule = declares(ufwRuleKind);
export const systemdUnit = declares(systemdUnitKind);
