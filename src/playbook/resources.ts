import { fileKind } from '#resources/file';
import { releaseKind } from '#resources/release';
import { declares } from '#resources/resource';

// The public door of playbooks: one constructor for each kind.

export { reload, restart } from '#resources/resource';

export const file = declares(fileKind);
export const release = declares(releaseKind);
