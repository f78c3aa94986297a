import type { Environment } from '#inventory/environment';
import type { Control } from '#playbook/control';
import { type Declared, sysctl } from '#playbook/resources';

/**
 * Kernel parameters that protect a host and break nothing on it: forwarding, router advertisements and user namespaces
 * are left alone, since Docker, SLAAC and sandboxes need them.
 */
const KERNEL: Readonly<Record<string, number>> = {
  'fs.protected_fifos': 2,
  'fs.protected_hardlinks': 1,
  'fs.protected_regular': 2,
  'fs.protected_symlinks': 1,
  'fs.suid_dumpable': 0,
  'kernel.dmesg_restrict': 1,
  'kernel.kptr_restrict': 2,
  'kernel.perf_event_paranoid': 3,
  'kernel.randomize_va_space': 2,
  'kernel.sysrq': 0,
  'kernel.yama.ptrace_scope': 1,
  'dev.tty.ldisc_autoload': 0,
  'net.core.bpf_jit_harden': 2,
  'net.ipv4.conf.all.accept_redirects': 0,
  'net.ipv4.conf.all.accept_source_route': 0,
  'net.ipv4.conf.all.rp_filter': 2,
  'net.ipv4.conf.all.secure_redirects': 0,
  'net.ipv4.conf.all.send_redirects': 0,
  'net.ipv4.conf.default.accept_redirects': 0,
  'net.ipv4.conf.default.accept_source_route': 0,
  'net.ipv4.conf.default.rp_filter': 2,
  'net.ipv4.conf.default.secure_redirects': 0,
  'net.ipv4.conf.default.send_redirects': 0,
  'net.ipv4.icmp_echo_ignore_broadcasts': 1,
  'net.ipv4.icmp_ignore_bogus_error_responses': 1,
  'net.ipv4.tcp_rfc1337': 1,
  'net.ipv4.tcp_syncookies': 1,
  'net.ipv6.conf.all.accept_redirects': 0,
  'net.ipv6.conf.all.accept_source_route': 0,
  'net.ipv6.conf.default.accept_redirects': 0,
  'net.ipv6.conf.default.accept_source_route': 0,
};

/** The kernel's parameters; what the inventory says wins. */
export function kernel({ harden }: Environment): readonly Declared[] {
  return [sysctl({ values: { ...KERNEL, ...harden.sysctl } })];
}

/** What `deploy audit` asks about the kernel. */
export const kernelControls: readonly Control[] = [];
