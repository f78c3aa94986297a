import { aptPackageKind } from '#resources/apt-package';
import { authorizedKeysKind } from '#resources/authorized-keys';
import { directoryKind } from '#resources/directory';
import { fileKind } from '#resources/file';
import { groupKind } from '#resources/group';
import { linkKind } from '#resources/link';
import { releaseKind } from '#resources/release';
import { declares } from '#resources/resource';
import { sudoersKind } from '#resources/sudoers';
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
