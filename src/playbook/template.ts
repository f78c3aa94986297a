import { type Declared, file } from '#playbook/resources';
import type { DeclarationOptions } from '#resources/resource';
import type { PlaybookContext } from './playbook.ts';

/** A file whose content is a template rendered with its data. */
export function template(
  { render }: Pick<PlaybookContext, 'render'>,
  {
    from,
    data = {},
    ...target
  }: Omit<Parameters<typeof file>[0], 'content'> & {
    /** The template's path below templates/. */
    readonly from: string;
    readonly data?: Readonly<Record<string, unknown>>;
  },
  options?: DeclarationOptions,
): Declared {
  return file({ ...target, content: render(from, data) }, options);
}
