const count = (text: string, pattern: RegExp): number => [...text.matchAll(pattern)].length;

/** `exit 0, 0 fails, 0 warnings` from what ssh-audit prints and ends with. */
export function sshAuditFigures(said: string, exitCode: number | null): string {
  const fails = count(said, /\[fail\]/g);
  const warnings = count(said, /\[warn\]/g);
  return `exit ${exitCode ?? 'none'}, ${fails} fails, ${warnings} warnings`;
}

/** `84, 2 warnings, 31 suggestions` from Lynis's report; the first number is its hardening index. */
export function lynisFigures(report: string): string {
  const index = /^hardening_index=(\d+)/m.exec(report)?.[1];
  if (index === undefined) throw new Error('Lynis left no report with an index');
  return `${index}, ${count(report, /^warning\[\]=/gm)} warnings, ${count(report, /^suggestion\[\]=/gm)} suggestions`;
}

/** `score 12, 40 passed, 8 warnings` from what docker-bench-security prints. */
export function dockerBenchFigures(said: string): string {
  const score = /Score: (-?\d+)/.exec(said)?.[1] ?? 'unknown';
  return `score ${score}, ${count(said, /^\[PASS\]/gm)} passed, ${count(said, /^\[WARN\]/gm)} warnings`;
}
