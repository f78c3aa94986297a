import * as z from 'zod';
import { type Change, defineKind, type FileAttributes, type FileState, type Host } from '#resources/resource';
import { textChange } from '#resources/text-diff';

/** Owner, group and mode as every file-like resource takes them. */
export const attributesSchema = {
  mode: z
    .string()
    .regex(/^0[0-7]{3}$/)
    .default('0644'),
  owner: z.string().default('root'),
  group: z.string().default('root'),
};

const props = z.strictObject({
  path: z.string().startsWith('/'),
  content: z.string(),
  ...attributesSchema,
});

export interface TextFile extends FileState {
  readonly content: string;
}

/** A text file with its attributes; undefined where there is none. */
export async function readTextFile(host: Host, path: string): Promise<TextFile | undefined> {
  const stat = await host.stat(path);
  if (stat === undefined) return undefined;
  return {
    ...stat,
    content: stat.type === 'file' ? ((await host.readFile(path)) ?? '') : '',
  };
}

/** How attributes differ: a change each for type, mode and owner. */
export function attributeChanges(state: FileState, wanted: FileAttributes, type: FileState['type']): readonly Change[] {
  const changes: Change[] = [];
  if (state.type !== type) changes.push({ summary: `${state.type} -> ${type}` });
  if (state.mode !== wanted.mode && type !== 'link') changes.push({ summary: `mode ${state.mode} -> ${wanted.mode}` });
  const owner = `${state.owner}:${state.group}`;
  const wantedOwner = `${wanted.owner}:${wanted.group}`;
  const sameOwner = [state.owner, String(state.uid)].includes(wanted.owner);
  const sameGroup = [state.group, String(state.gid)].includes(wanted.group);
  if (!sameOwner || !sameGroup) changes.push({ summary: `owner ${owner} -> ${wantedOwner}` });
  return changes;
}

/** How a text file differs from its wanted content and attributes. */
export function textFileChanges(
  state: TextFile | undefined,
  wanted: FileAttributes & { readonly content: string },
): readonly Change[] {
  if (state === undefined) return textChange(undefined, wanted.content);
  return [...attributeChanges(state, wanted, 'file'), ...textChange(state.content, wanted.content)];
}

/** A file with exactly this content, owner and mode. */
export const fileKind = defineKind({
  kind: 'file',
  summary: 'A file with exactly this content, owner and mode.',
  props,
  id: ({ path }) => path,
  read: (host, { path }) => readTextFile(host, path),
  diff: textFileChanges,
  apply: (host, { path, content, ...attributes }) => host.writeFile(path, content, attributes),
  footprint: ({ path }) => ({ path }),
  remove: (host, { path }) => host.removeFile(path as string),
  preexisting: 'remove',
});
