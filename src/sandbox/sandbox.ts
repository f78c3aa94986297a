export type { Release } from './base.ts';
export { setRecord } from './dns.ts';
export { run, shell } from './enter.ts';
export type { SandboxHost } from './host.ts';
export { down, list, start, stop, up } from './hosts.ts';
export { type Internet, internet, publishAuthorities } from './internet.ts';
export { publishHostKeys } from './trust.ts';
export { VARIETIES, type Variety } from './varieties.ts';
