import type { Ssh } from '#inventory/environment';
import { requiredRsaSize } from './ssh-keys.ts';

/**
 * What sshd is told. Algorithms are those that ssh-audit 3.3 finds nothing against; curve25519 stays beside the
 * post-quantum exchanges, since not every client, ours among them, speaks one of those. A list is cut to what the host
 * has.
 */
export function sshdSettings({ port }: Ssh) {
  return {
    ...(port === undefined ? {} : { Port: port }),
    PermitRootLogin: false,
    PubkeyAuthentication: true,
    PasswordAuthentication: false,
    KbdInteractiveAuthentication: false,
    PermitEmptyPasswords: false,
    HostbasedAuthentication: false,
    IgnoreRhosts: true,
    PermitUserEnvironment: false,
    StrictModes: true,
    MaxAuthTries: 3,
    // One connection carries many channels.
    MaxSessions: 10,
    MaxStartups: '10:30:60',
    LoginGraceTime: 30,
    // A dead client is noticed after ten minutes.
    ClientAliveInterval: 300,
    ClientAliveCountMax: 2,
    TCPKeepAlive: false,
    X11Forwarding: false,
    AllowAgentForwarding: false,
    AllowTcpForwarding: false,
    PermitTunnel: false,
    GatewayPorts: false,
    UseDNS: false,
    Compression: false,
    LogLevel: 'VERBOSE',
    HostKeyAlgorithms: ['ssh-ed25519', 'rsa-sha2-512', 'rsa-sha2-256'],
    KexAlgorithms: [
      'mlkem768x25519-sha256',
      'sntrup761x25519-sha512',
      'sntrup761x25519-sha512@openssh.com',
      'curve25519-sha256',
      'curve25519-sha256@libssh.org',
    ],
    Ciphers: [
      'chacha20-poly1305@openssh.com',
      'aes256-gcm@openssh.com',
      'aes128-gcm@openssh.com',
      'aes256-ctr',
      'aes192-ctr',
      'aes128-ctr',
    ],
    MACs: ['hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256-etm@openssh.com', 'umac-128-etm@openssh.com'],
  };
}

/** What only newer servers, or Debian's, know. */
export function sshdSettingsIfKnown({ authorizedKeys }: Ssh) {
  return { DebianBanner: false, RequiredRSASize: requiredRsaSize(authorizedKeys) };
}
