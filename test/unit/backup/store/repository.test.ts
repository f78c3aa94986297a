import { describe, expect, test } from 'vitest';
import { entriesOf } from '#backup/store/objects-sftp';
import { refusalOf } from '#backup/store/refusal';
import { below, placeOf, resticUrl, serverOf } from '#backup/store/repository';
import { isNewEnough } from '#backup/store/restic';
import type { Repository } from '#protocol/backup';

describe('an address of a repository', () => {
  test.each([
    ['/srv/backups/', '/srv/backups/vps/restic'],
    ['sftp:keeper@vault.example:/backups', 'sftp://keeper@vault.example//backups/vps/restic'],
    ['sftp:vault:relative/folder', 'sftp://vault/relative/folder/vps/restic'],
    ['sftp://u123@box.example:23//home/b', 'sftp://u123@box.example:23//home/b/vps/restic'],
    ['sftp://u123@box.example:23/b', 'sftp://u123@box.example:23/b/vps/restic'],
    ['sftp://keeper@[fd00::5]:2222//b', 'sftp://keeper@[fd00::5]:2222//b/vps/restic'],
    ['s3:https://s3.example/bucket', 's3:https://s3.example/bucket/vps/restic'],
    ['s3:https://s3.example:9000/bucket/a/b/', 's3:https://s3.example:9000/bucket/a/b/vps/restic'],
    ['s3:http://10.0.0.5:9000/bucket', 's3:http://10.0.0.5:9000/bucket/vps/restic'],
    ['s3:s3.amazonaws.com/bucket/path', 's3:https://s3.amazonaws.com/bucket/path/vps/restic'],
    ['rest:https://backup.example:8000/shop/', 'rest:https://backup.example:8000/shop/vps/restic/'],
  ])('%s has the folder of a host at %s', (url, restic) => {
    expect(resticUrl(below(placeOf(url), 'vps', 'restic'))).toBe(restic);
  });

  test.each(['ftp://host/path', 'sftp:host', 's3:https://host', 'relative'])('%s is none', (url) => {
    expect(() => placeOf(url)).toThrow(`${url} is no repository`);
  });
});

test('restic from the release on whose exit codes tell what is the matter', () => {
  const versions = ['restic 0.14.0 compiled with go1.19', 'restic 0.16.5 x', 'bash: restic: not found', ''];
  expect(versions.map(isNewEnough)).toEqual([false, false, false, false]);
  const good = ['restic 0.17.0 compiled with go1.22', 'restic 0.18.0 compiled', 'restic 1.0.0'];
  expect(good.map(isNewEnough)).toEqual([true, true, true]);
});

test('what sftp lists of files and folders, and nothing of what it says besides', () => {
  const said = [
    'sftp> -ls -ln "/backups/a"',
    'drwx------    ? 1000     1000         4096 Nov 21 20:46 /backups/a/wal main',
    '-rw-------    ? 1000     1000     16777216 Jan  3  2025 /backups/a/0001.age',
  ].join('\n');
  expect(entriesOf(said)).toEqual([
    { isFolder: true, size: 4096, path: '/backups/a/wal main' },
    { isFolder: false, size: 16_777_216, path: '/backups/a/0001.age' },
  ]);
});

describe('what a repository says becomes an error', () => {
  const repository: Repository = {
    name: 'offsite',
    url: 'rest:https://backup.example/shop',
    credentials: { RESTIC_REST_PASSWORD: 'sesame-sesame' },
  };
  const failing = (stderr: string, exitCode: number | null = 1, timedOut = false) =>
    refusalOf(
      'Opening',
      { argv: ['restic'], stdout: '', stderr, exitCode, timedOut, duration: 1 },
      repository,
      undefined,
    );

  test('without the secrets of the repository, and with where it is', () => {
    const { message } = failing('Fatal: 401 for keeper:sesame-sesame');
    expect(message).not.toContain('sesame-sesame');
    expect(message).toContain(serverOf(repository));
  });

  test.each([
    ['Fatal: unable to open config file: 403 Forbidden', 'backups.credentials'],
    ['x509: certificate signed by unknown authority', 'backups.ca'],
    ['write: no space left on device', 'Make room'],
    ['dial tcp 10.0.0.1:443: connect: connection refused', 'is up'],
    ['Host key verification failed.', 'backups.hostKey'],
    ['unable to start the sftp session, error: file already closed', 'lets this key in'],
    ['the moon is full', 'deploy backup status'],
  ])('%s: the hint has "%s"', (said, hint) => {
    expect(failing(said)).toMatchObject({ code: 'repository-failed', hint: expect.stringContaining(hint) });
  });

  test('a key that does not open it, and no key at all, are told from a repository that fails', () => {
    expect(failing('Fatal: wrong password or no key found', 12).code).toBe('key-refused');
    expect(failing('Fatal: Resolving password failed: Fatal: /etc/x.key does not exist').code).toBe('key-refused');
    expect(failing('Fatal: repository does not exist', 10)).toMatchObject({ code: 'repository-failed' });
    expect(failing('', null, true).hint).toContain('answers this host');
  });

  test("restic's last word is read where it was asked for JSON", () => {
    const said = '{"message_type":"exit_error","code":1,"message":"Fatal: no space left on device"}';
    expect(failing(said).message).toMatch(/:\nFatal: no space left on device$/);
  });
});
