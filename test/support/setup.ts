import fc from 'fast-check';
import { afterAll } from 'vitest';
import { clearScratch } from './scratch.ts';

// Continuous integration tells of a change, not of luck: there the random cases are the same at every run.
if (process.env['CI'] !== undefined) fc.configureGlobal({ seed: 20_261_121 });

// A worker is ended by a signal: what it would do on its own exit is never done.
afterAll(clearScratch);
