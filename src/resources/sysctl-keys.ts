import type { Host } from '#resources/resource';

/** Where the kernel shows a key. A key whose first separator is a slash has its dots as they are (sysctl.d(5)). */
export function procPath(key: string): string {
  const slashes = /^[^./]*\//.test(key);
  const path = slashes ? key : key.replace(/[./]/g, (mark) => (mark === '.' ? '/' : '.'));
  return `/proc/sys/${path}`;
}

/** A value as the kernel counts it: several numbers apart by one space. */
export function normalValue(value: string | number): string {
  return String(value).trim().split(/\s+/).join(' ');
}

/** Assignments in the text of a sysctl file, by the path of their key; the last one counts. */
export function parseAssignments(text: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, key, value] = /^\s*-?\s*([^#;=\s][^=]*?)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined) values.set(procPath(key), normalValue(value));
  }
  return values;
}

/** Values that the kernel lets go of at the next boot only (admin-guide/sysctl/kernel.rst, LSM/Yama.rst). */
const FINAL: ReadonlyMap<string, string> = new Map([
  [procPath('kernel.kexec_load_disabled'), '1'],
  [procPath('kernel.unprivileged_bpf_disabled'), '1'],
  [procPath('kernel.yama.ptrace_scope'), '3'],
]);

/** Whether a value that is in effect cannot be changed until the next boot. */
export function isFinal(path: string, value: string): boolean {
  return FINAL.get(path) === value;
}

/** Mount points below /proc/sys that cannot be written, as containers have them (proc_pid_mountinfo(5)). */
export function isReadOnly(mountinfo: string, path: string): boolean {
  let best = { point: '', readOnly: false };
  for (const line of mountinfo.split('\n')) {
    const [, , , , point = '', options = ''] = line.split(' ');
    const covers = point !== '' && (path === point || path.startsWith(point === '/' ? '/' : `${point}/`));
    // A later mount on the same point hides the earlier one.
    if (covers && point.length >= best.point.length) best = { point, readOnly: options.split(',').includes('ro') };
  }
  return best.readOnly;
}

/** Whether this machine may not set a key: the kernel does not have it, or a container shows it read-only. */
export async function cannotSet(host: Host, path: string): Promise<boolean> {
  if ((await host.stat(path)) === undefined) return true;
  const mounts = await host.once('mountinfo', async () => (await host.readFile('/proc/self/mountinfo')) ?? '');
  return isReadOnly(mounts, path);
}
