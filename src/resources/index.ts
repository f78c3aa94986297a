import { fileKind } from '#resources/file';
import { releaseKind } from '#resources/release';

/** Every kind the host side knows. A new kind costs its file and a line here. */
export const KINDS = [fileKind, releaseKind] as const;
