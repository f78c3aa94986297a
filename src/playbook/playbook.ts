import type { Environment } from '#inventory/environment';
import type { Facts } from '#protocol/facts';
import type { Declared } from '#resources/resource';

/** What a playbook is told: what people declared, what the host says of itself, and where templates come from. */
export interface PlaybookContext {
  readonly environment: Environment;
  /** The host being planned, by its name in the inventory. */
  readonly host: string;
  readonly facts: Facts;
  /** `ssh.allowFrom` holds even where it shuts out the address that this connection comes from. */
  readonly forceAllowFrom?: boolean;
  /** A template rendered with its data; the project's own templates/ shadows ours by path. Missing data is an error. */
  render(template: string, data: Readonly<Record<string, unknown>>): string;
}

/** Something that a person should know of a host before anything is changed on it. */
export interface Warning {
  readonly message: string;
  readonly hint: string;
}

/** What a good host is in one respect, as a pure function from declared and observed facts to resources in order. */
export interface Playbook {
  readonly name: string;
  /** One sentence, shown in help and documentation. */
  readonly summary: string;
  resources(context: PlaybookContext): readonly Declared[];
  /** What to tell a person of a host beside the plan. */
  warnings?(context: PlaybookContext): readonly Warning[];
}

/** A playbook from its parts; the one call every file in playbooks/ makes. */
export function definePlaybook(playbook: Playbook): Playbook {
  return playbook;
}
