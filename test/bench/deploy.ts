import { CLI } from './built.ts';
import { type Timing, timed } from './measure.ts';
import type { Project } from './project.ts';

/** The built command line on a project, as a person would type it. */
export function deploy(verb: string, project: Project, ...options: readonly string[]): Promise<Timing> {
  return timed([process.execPath, CLI, verb, project.environment, '--project', project.folder, ...options]);
}

/** `deploy up` that has to find nothing to do. */
export async function noop(project: Project): Promise<Timing> {
  const timing = await deploy('up', project);
  if (!/no change/.test(timing.output)) throw new Error(`There was something to do:\n${timing.output}`);
  return timing;
}
