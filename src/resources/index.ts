import { aptPackageKind } from '#resources/apt-package';
import { authorizedKeysKind } from '#resources/authorized-keys';
import { directoryKind } from '#resources/directory';
import { fileKind } from '#resources/file';
import { groupKind } from '#resources/group';
import { linkKind } from '#resources/link';
import { releaseKind } from '#resources/release';
import { sudoersKind } from '#resources/sudoers';
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
] as const;
