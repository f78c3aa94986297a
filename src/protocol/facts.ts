import * as z from 'zod';

/** What a host says about itself before anything is planned; read without starting a single program. */
export const factsSchema = z.strictObject({
  hostname: z.string(),
  os: z.strictObject({
    /** `debian`, `ubuntu`, … as in /etc/os-release. */
    id: z.string(),
    version: z.string(),
    codename: z.string(),
    name: z.string(),
  }),
  /** As Debian names it: `amd64`, `arm64`. */
  arch: z.string(),
  kernel: z.string(),
  cpus: z.number(),
  memoryBytes: z.number(),
  diskFreeBytes: z.number(),
  /** Milliseconds since the epoch by the host's clock. */
  clock: z.number(),
  /** Global addresses of the host's interfaces, without loopback and container bridges. */
  addresses: z.array(z.string()),
  /** Networks in CIDR form that interfaces or routes of the host already use. */
  networks: z.array(z.string()),
  /** Whether the machine is itself a container that shares its kernel with another. */
  container: z.boolean(),
  /** Whether a disk of the machine hangs on USB, which it may boot from. */
  usbDisk: z.boolean().optional(),
  /** The daemon that keeps the clock, by the name of its unit, where one is installed. */
  timeDaemon: z.string().optional(),
  /** The address this connection comes from, as sshd saw it. */
  clientAddress: z.string().optional(),
  /** The port of the host this connection came in through. */
  sshPort: z.number().optional(),
  /** Whether systemd listens on that port and hands connections to sshd (ssh.socket). */
  sshSocket: z.boolean().optional(),
  /** What already listens for TCP, from the kernel's own table: port and the program's name. */
  listening: z.array(z.strictObject({ port: z.number(), program: z.string() })),
  /** Apps that Slipway serves on this host: the subnet of each one's network where it has one, and what it opens. */
  apps: z.record(
    z.string(),
    z.strictObject({
      subnet: z.string().optional(),
      /** `from` is `any`, an address or a network. */
      open: z.array(z.strictObject({ port: z.number(), protocol: z.enum(['tcp', 'udp']), from: z.string() })),
    }),
  ),
});

export type Facts = z.infer<typeof factsSchema>;
