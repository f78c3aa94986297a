import fc from 'fast-check';

// Continuous integration tells of a change, not of luck: there the random cases are the same at every run.
if (process.env['CI'] !== undefined) fc.configureGlobal({ seed: 20_261_121 });
