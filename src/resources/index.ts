import { fileKind } from '#resources/file';

/** Every kind the host side knows. A new kind costs its file and a line here. */
export const KINDS = [
  fileKind,
] as const;
