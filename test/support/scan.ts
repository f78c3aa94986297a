import { inside } from './hardened.ts';

// One SYN to each port from a raw socket, and what is answered: an open port is told by its SYN and ACK. The checksum is
// that of RFC 9293, 3.1, over the pseudo-header of either family.
const SCAN = `use strict; use Socket qw(:all);
my ($address, $from, $first, $last) = @ARGV;
my $v6 = $address =~ /:/;
my $family = $v6 ? AF_INET6 : AF_INET;
my $raw = inet_pton($family, $address);
my $to = $v6 ? pack_sockaddr_in6(9, $raw) : pack_sockaddr_in(9, $raw);
socket(my $way, $family, SOCK_DGRAM, 0) or die $!;
connect($way, $to) or die "connect: $!";
my $own = $from ? inet_aton($from) : $v6 ? (unpack_sockaddr_in6(getsockname $way))[1] : (unpack_sockaddr_in(getsockname $way))[1];
socket(my $s, $family, SOCK_RAW, IPPROTO_TCP) or die $!;
setsockopt($s, SOL_SOCKET, SO_RCVBUF, 4 << 20);
bind($s, $v6 ? pack_sockaddr_in6(0, $own) : pack_sockaddr_in(0, $own)) or die "bind: $!";
my ($source, %open) = 20000 + $$ % 10000;
sub hear { my ($seconds) = @_;
  vec(my $wait = '', fileno $s, 1) = 1;
  while (select(my $ready = $wait, undef, undef, $seconds)) {
    recv($s, my $packet, 200, 0) // next;
    my ($port, $mine, $flags) = unpack('nnx9C', $v6 ? $packet : substr($packet, 4 * (ord($packet) & 15)));
    $open{$port} = 1 if $mine == $source && ($flags & 18) == 18;
  } }
my $sum = unpack('%32n*', $own . $raw) + 6 + 20;
$to = $v6 ? pack_sockaddr_in6(0, $raw) : pack_sockaddr_in(0, $raw);
for my $port ($first .. $last) {
  my $all = $sum + $source + $port + 0x5002 + 0xffff;
  $all = ($all & 0xffff) + ($all >> 16) while $all >> 16;
  send($s, pack('nnNNnnnn', $source, $port, 0, 0, 0x5002, 0xffff, ~$all & 0xffff, 0), 0, $to) // die "send: $!";
  hear(0.002) unless $port % 200;
}
hear(0.7);
print join ' ', keys %open;
`;

const ASK = `use strict; use Socket qw(:all);
my ($address, $port) = @ARGV;
my $v6 = $address =~ /:/;
my $raw = inet_pton($v6 ? AF_INET6 : AF_INET, $address);
socket(my $s, $v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0) or die $!;
connect($s, $v6 ? pack_sockaddr_in6($port, $raw) : pack_sockaddr_in($port, $raw)) or die $!;
send($s, 'hello', 0); vec(my $ready = '', fileno $s, 1) = 1;
my $data = '';
select($ready, undef, undef, 1) && recv($s, $data, 100, 0);
print $data;
`;

export interface Scan {
  readonly address: string;
  /** The address to come from; the scanning host's own where it is empty. */
  readonly from?: string;
  /** All 65,535 by default. */
  readonly ports?: readonly [first: number, last: number];
}

/** The TCP ports of an address that accept a connection, seen from a sandbox host. */
export async function scan(host: string, { address, from = '', ports: [first, last] = [1, 65_535] }: Scan) {
  const said = await inside(host, `perl - ${address} '${from}' ${first} ${last} <<'PERL'\n${SCAN}PERL`);
  const open = said.split(' ').filter((port) => port !== '');
  if (open.some((port) => !/^\d+$/.test(port))) throw new Error(said);
  return open.map(Number).sort((a, b) => a - b);
}

/** What comes back when a datagram is sent to a UDP port from a sandbox host; empty where nothing does. */
export async function datagram(host: string, address: string, port: number): Promise<string> {
  return await inside(host, `perl - ${address} ${port} <<'PERL'\n${ASK}PERL`);
}
