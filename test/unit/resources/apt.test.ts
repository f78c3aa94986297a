import { describe, expect, test } from 'vitest';
import { complaint, symptom } from '#resources/apt';
import { lockingProcesses } from '#resources/apt-lock';
import { aptPackageKind } from '#resources/apt-package';
import { isInstalled, isInterrupted, parseStatus } from '#resources/dpkg';

describe('what apt says', () => {
  // Each as apt 3.0 and 2.6 print it.
  test.each([
    ['E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 923 (apt-get)', 'apt-locked'],
    ['E: Unable to locate package no-such-pkg\nW: Failed to fetch nothing', 'package-unknown'],
    ["E: Package 'telnetd' has no installation candidate", 'package-unknown'],
    [
      'W: Failed to fetch http://m.example/dists/trixie/InRelease  Unable to connect to m.example:http:',
      'mirror-unreachable',
    ],
    ["W: Failed to fetch x  Temporary failure resolving 'm.example'", 'mirror-unreachable'],
    ["E: You don't have enough free space in /var/cache/apt/archives/.", 'disk-full'],
    ['dpkg: error processing archive x (--unpack):\n cannot copy: write failed (No space left on device)', 'disk-full'],
    ['E: Release file for http://m.example/InRelease is not valid yet (invalid for another 5h 1min).', 'clock-off'],
    ['E: Release file for http://m.example/InRelease is expired (invalid since 3d).', 'clock-off'],
    ['W: GPG error: http://m.example trixie InRelease: … NO_PUBKEY 7EA0A9C3F273FCD8', 'repository-untrusted'],
    ["E: The repository 'http://m.example trixie InRelease' is not signed.", 'repository-untrusted'],
    ["E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.", 'package-broken'],
    ['Setting up x\nE: Sub-process /usr/bin/dpkg returned an error code (1)', 'command-failed'],
  ])('%s', (said, code) => {
    expect(symptom(said)).toBe(code);
  });

  test('is shown by the lines that complain, each once', () => {
    expect(complaint('Reading…\nE: one\nE: one\nDone\nW: two\n')).toBe('E: one\nW: two');
    expect(complaint('nothing\nis marked\n')).toBe('nothing\nis marked');
  });
});

describe('dpkg status', () => {
  const status = [
    'Package: nginx\nStatus: install ok installed\nVersion: 1.26.3-3',
    'Package: cron\nStatus: deinstall ok config-files\nVersion: 3.0',
    'Package: jq\nStatus: install ok half-configured\nVersion: 1.7',
    'Package: man-db\nStatus: hold ok triggers-pending\nVersion: 2.13',
  ].join('\n\n');
  const packages = parseStatus(status);

  test('is read from its paragraphs', () => {
    expect(packages.get('nginx')).toEqual({ version: '1.26.3-3', status: 'installed' });
    expect([...packages].filter(([, found]) => isInstalled(found)).map(([name]) => name)).toEqual(['nginx', 'man-db']);
    expect([...packages].filter(([, found]) => isInterrupted(found)).map(([name]) => name)).toEqual(['jq']);
  });

  test('decides what has to be done', () => {
    const diff = (name: string) =>
      aptPackageKind.diff(packages.get(name), aptPackageKind.props.parse({ name })).map(({ summary }) => summary);
    expect(diff('nginx')).toEqual([]);
    expect(diff('man-db')).toEqual([]);
    expect(diff('jq')).toEqual(['finish the installation of jq']);
    expect(diff('absent')).toEqual(['install absent']);
  });
});

test('a package is named as Debian names it', () => {
  for (const name of ['Nginx', 'a', '-y', 'nginx=1', 'foo:i386', 'x y']) {
    expect(aptPackageKind.props.safeParse({ name }).success, name).toBe(false);
  }
  for (const name of ['g++', 'libssl3', '0ad', 'python3.11']) {
    expect(aptPackageKind.props.safeParse({ name }).success, name).toBe(true);
  }
});

test('holders of locks are found in the kernel’s table', () => {
  const locks = [
    '1: POSIX  ADVISORY  WRITE 923 fe:00:2201992 0 EOF',
    '2: OFDLCK ADVISORY  WRITE -1 fe:00:1531919 0 EOF',
    '3: FLOCK  ADVISORY  WRITE 44 00:19:5 0 EOF',
    '4: POSIX  ADVISORY  READ 45 00:19:6 0 EOF',
    '5: POSIX  ADVISORY  WRITE 923 fe:00:1531926 0 EOF',
  ].join('\n');
  expect(lockingProcesses(locks)).toEqual([923]);
});
