// Prints the files whose tests failed on real hosts, one a line; none where they are so many that it was no accident.
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';

const MOST = 3;

const { testResults } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const failed = testResults.filter(({ status }) => status === 'failed').map(({ name }) => relative('.', name));
const isHost = failed.every((file) => /^test\/(?:host|e2e)\//.test(file));
if (failed.length <= MOST && isHost) for (const file of failed) console.log(file);
