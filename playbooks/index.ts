import type { Playbook } from '#playbook/playbook';
import { accessories } from './accessories.ts';
import { app } from './app.ts';
import { backups } from './backups.ts';
import { certificates } from './certificates.ts';
import { docker, dockerProof } from './docker.ts';
import { harden } from './harden.ts';
import { logs } from './logs.ts';
import { proxy } from './proxy.ts';

/**
 * What a good host is, in the order in which it becomes one: closed before anything listens, data before the app, the app
 * before its domains. What others have a say in comes last: a domain that does not lead here yet, or a server that does not
 * let the host's copies in yet, holds nothing else up.
 */
export const PLAYBOOKS: readonly Playbook[] = [
  harden,
  docker,
  dockerProof,
  proxy,
  logs,
  accessories,
  app,
  certificates,
  backups,
];
