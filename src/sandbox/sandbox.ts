export type { Release, Report } from './base.ts';
export { down, list, run, type SandboxHost, shell, start, stop, type UpOptions, up } from './hosts.ts';
export { VARIETIES, type Variety } from './varieties.ts';
