import { afterAll, beforeAll, expect, test } from 'vitest';
import { docker } from '#playbooks/docker';
import { harden as hardening } from '#playbooks/harden';
import { down, run, up } from '#sandbox/sandbox';
import { makeAnsweringImage } from '#test/support/answering';
import { environmentOf, harden, inside } from '#test/support/hardened';

const NAME = 'upgrades-vps';
const UPGRADED = ['containerd', 'docker.io', 'runc'];
const NEWER = '+deb13u99';

// What stands for Debian's security archive: its own packages under a higher version, signed by a key of the host.
const ARCHIVE = `set -e
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq; apt-get install -qq gpg gpg-agent > /dev/null
mkdir -p /srv/archive/dists/trixie-security/main/binary-amd64 /srv/archive/pool && cd /srv/archive/pool
chown _apt . && apt-get download -qq ${UPGRADED.join(' ')}
for deb in *.deb; do
  dpkg-deb -R $deb tree
  sed -i 's/^Version: .*/&${NEWER}/' tree/DEBIAN/control
  rm $deb && dpkg-deb -Znone -b tree . > /dev/null && rm -r tree
done
cd ..
for deb in pool/*.deb; do
  dpkg-deb -f $deb
  echo "Filename: $deb\nSize: $(stat -c %s $deb)\nSHA256: $(sha256sum $deb | cut -d' ' -f1)\n"
done > dists/trixie-security/main/binary-amd64/Packages
cd dists/trixie-security
index=main/binary-amd64/Packages
echo "Origin: Debian\nLabel: Debian-Security\nSuite: stable-security\nCodename: trixie-security\nArchitectures: amd64\nComponents: main\nDate: $(date -Ru)\nSHA256:\n $(sha256sum $index | cut -d' ' -f1) $(stat -c %s $index) $index" > Release
gpg --batch --quiet --passphrase '' --quick-gen-key archive@example.com rsa3072 sign never
gpg --batch --quiet --clearsign -o InRelease Release
gpg --export archive@example.com > /etc/apt/keyrings/archive.pgp
echo 'deb [signed-by=/etc/apt/keyrings/archive.pgp] file:/srv/archive trixie-security main' > /etc/apt/sources.list.d/archive.list
apt-get update -qq`;

const versions = () => inside(NAME, `dpkg-query -W ${UPGRADED.join(' ')} | cut -f2`);
const engine = () => inside(NAME, 'systemctl show --property MainPID --value docker.service');
const container = () => inside(NAME, "docker inspect --format '{{.State.Pid}} {{.State.StartedAt}}' web");

// Asks again and again, as a new client each time, until it is ended; then says how often, and what went wrong.
const ASKING = `use strict; use Socket;
my ($address, $port) = @ARGV; my $asked = 0; my $going = 1; my @failed;
$SIG{TERM} = sub { $going = 0 };
while ($going) {
  $asked++;
  eval {
    local $SIG{ALRM} = sub { die "no answer" }; alarm 10;
    socket(my $s, AF_INET, SOCK_STREAM, 0) or die $!;
    connect($s, pack_sockaddr_in($port, inet_aton($address))) or die $!;
    syswrite($s, "GET / HTTP/1.1\\r\\n\\r\\n"); my $answer = '';
    1 while sysread($s, $answer, 4096, length $answer);
    $answer =~ /hello$/ or die "half an answer"; alarm 0; 1
  } or push @failed, $@;
  select(undef, undef, undef, 0.02);
}
print "$asked asked, ", scalar @failed, " failed @failed";
`;

/** Has the host itself ask, as nginx does in front of an app; what it resolves with ends it and says what came of it. */
async function asking(address: string, port: number): Promise<() => Promise<string>> {
  const unit = `asking-${port}`;
  await run(NAME, ['tee', '/root/asking.pl'], { input: ASKING });
  await inside(
    NAME,
    `systemd-run --quiet --unit=${unit} -p StandardOutput=file:/root/${unit} perl /root/asking.pl ${address} ${port}; sleep 1`,
  );
  return async () => await inside(NAME, `systemctl stop ${unit}; cat /root/${unit}`);
}

beforeAll(async () => {
  await down([NAME]).catch(() => undefined);
  const host = await up({ name: NAME, aptCache: true, equipped: true });
  const allow = [{ port: 8443, protocol: 'tcp', from: 'any', comment: undefined }] as const;
  await harden(host, [hardening, docker], environmentOf(host, { firewall: { allow } }));
  await makeAnsweringImage(NAME);
  await inside(NAME, 'docker run -d --name web --restart unless-stopped -p 0.0.0.0:8443:80 answer:1');
  await inside(NAME, ARCHIVE);
});

afterAll(async () => {
  await down([NAME]);
});

test('a container answers all the while its engine is upgraded by itself, and restarted', async () => {
  const [before, oldEngine, same] = await Promise.all([versions(), engine(), container()]);
  const address = await inside(NAME, "docker inspect --format '{{.NetworkSettings.IPAddress}}' web");
  const toContainer = await asking(address, 80);
  const toPort = await asking('127.0.0.1', 8443);
  const said = await inside(NAME, 'unattended-upgrade -v');
  expect(await versions(), said).toBe(before.replaceAll(/$/gm, NEWER));
  // needrestart was asked at the end of that, and has left alone what it would have restarted.
  expect(await engine()).toBe(oldEngine);
  // Docker lays the rules for published ports again when it starts, which takes a moment: nothing that we serve is.
  expect(await toPort()).toMatch(/^\d+ asked, 0 failed$/);
  // What the packages of Docker's own repository do when they are upgraded.
  await inside(NAME, 'systemctl restart containerd; systemctl restart docker; sleep 1');
  const answers = await toContainer();
  expect(answers).toMatch(/^\d+ asked, 0 failed$/);
  expect(Number.parseInt(answers, 10)).toBeGreaterThan(100);
  expect(await engine()).not.toBe(oldEngine);
  expect(await container()).toBe(same);
  expect(await inside(NAME, 'systemctl is-active docker containerd; docker ps --format "{{.Names}}"')).toBe(
    'active\nactive\nweb',
  );
});
