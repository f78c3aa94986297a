// Prints why tests were skipped, and last one line that counts them all. Exits non-zero where anything failed.
import { readFileSync } from 'node:fs';

const [file, status] = process.argv.slice(2);
let report = { numPassedTests: 0, numFailedTests: 0, testResults: [] };
try {
  report = JSON.parse(readFileSync(file, 'utf8'));
} catch {
  console.log('The tests left no report.');
}
const all = report.testResults.flatMap(({ assertionResults }) => assertionResults);
const skipped = all.filter((test) => test.status !== 'passed' && test.status !== 'failed');
for (const test of skipped) console.log(`skipped: ${test.fullName}`);
// A file that could not even be loaded has failed too, though none of its tests was counted.
const unloaded = report.testResults.filter(
  (result) => result.status === 'failed' && !result.assertionResults.some((test) => test.status === 'failed'),
);
for (const { name, message } of unloaded) console.log(`failed to run: ${name}: ${message}`);
const failed = report.numFailedTests + unloaded.length;
const isRed = failed > 0 || Number(status) !== 0 || report.numPassedTests === 0;
console.log(
  `${report.numPassedTests} passed, ${failed === 0 && isRed ? 1 : failed} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ''}`,
);
process.exitCode = isRed ? 1 : 0;
