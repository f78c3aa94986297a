import { expect } from 'vitest';
import { inside } from './hardened.ts';

/** Answers whatever is asked over TCP on port 80 and over UDP on port 53. */
const SERVER = `use strict; use Socket qw(:all);
$SIG{CHLD} = 'IGNORE'; $SIG{TERM} = sub { exit };
sub listener { my ($type, $port) = @_;
  socket(my $s, AF_INET6, $type, 0) or die $!;
  setsockopt($s, IPPROTO_IPV6, IPV6_V6ONLY, 0); setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
  bind($s, pack_sockaddr_in6($port, IN6ADDR_ANY)) or die $!;
  return $s }
unless (fork) { my $u = listener(SOCK_DGRAM, 53);
  while (my $from = recv($u, my $data, 1500, 0)) { send($u, $data, 0, $from) } }
my $t = listener(SOCK_STREAM, 80); listen($t, 128);
while (accept(my $c, $t)) { sysread($c, my $request, 4096);
  syswrite($c, "HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\nConnection: close\\r\\n\\r\\nhello"); close $c }
`;

/** Makes the image `answer:1` on a host with Docker, from the host's own perl: no registry is needed. */
export async function makeAnsweringImage(name: string): Promise<void> {
  const made = await inside(
    name,
    `set -e; mkdir /tmp/image; cd /tmp/image
cp --parents --dereference /usr/bin/perl $(ldd /usr/bin/perl | grep -o '/[^ ]*') .
cp --parents --recursive /usr/lib/*-linux-gnu/perl-base .
cat > answer.pl <<'PERL'
${SERVER}PERL
tar -c . | docker import --change 'CMD ["/usr/bin/perl", "/answer.pl"]' - answer:1 > /dev/null; rm -r /tmp/image`,
  );
  expect(made).toBe('');
}
