import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import Handlebars from 'handlebars';
import { DeployError } from '#core/errors';

/**
 * A renderer over template folders, the first that has a path wins: a project's own templates/ before ours. Nothing is
 * escaped, since none of the targets is HTML; a name that the data lacks is an error, never an empty string.
 */
export function templates(folders: readonly string[]) {
  const compiled = new Map<string, HandlebarsTemplateDelegate>();
  const handlebars = Handlebars.create();

  function compile(path: string): HandlebarsTemplateDelegate {
    const known = compiled.get(path);
    if (known !== undefined) return known;
    const file = folders.map((folder) => join(folder, path)).find(existsSync);
    if (file === undefined) {
      throw new DeployError('template-missing', `There is no template ${path} in ${folders.join(' or ')}.`, {
        hint: 'Check the name; templates are found by their path below templates/.',
      });
    }
    const template = handlebars.compile(readFileSync(file, 'utf8'), {
      noEscape: true,
      strict: true,
    });
    compiled.set(path, template);
    return template;
  }

  return (path: string, data: Readonly<Record<string, unknown>>): string => {
    const template = compile(path);
    try {
      return template(data);
    } catch (error) {
      if (error instanceof DeployError) throw error;
      throw new DeployError(
        'template-failed',
        `The template ${path} cannot be rendered: ${(error as Error).message}.`,
        {
          hint: 'A template may only use names that its playbook gives it; see the comment at the top of the playbook.',
          cause: error,
        },
      );
    }
  };
}
