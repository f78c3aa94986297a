import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadEnvironment } from '#inventory/load';
import { MINIMAL, refusal, withProject } from './project.ts';

beforeAll(() => vi.stubEnv('HOME', '/nonexistent'));
afterAll(() => vi.unstubAllEnvs());

const withOptions = (options: string): string =>
  MINIMAL.replace('  authorizedKeys:', `  options: { ${options} }\n  authorizedKeys:`);

describe('settings of sshd', () => {
  it.each([
    ['PubkeyAuthentication: false', 'would lock everybody out'],
    ['PubKeyAuthentication: "no"', 'would lock everybody out'],
    ['AuthenticationMethods: "publickey,password"', 'would lock Slipway out'],
    ['AuthorizedKeysFile: /etc/ssh/keys/%u', 'keys are written to .ssh/authorized_keys'],
    ['Port: 2222', 'write `ssh.port`'],
    ['ListenAddress: 0.0.0.0', '`ssh.allowFrom`'],
    ['PermitEmptyPasswords: true', 'every account that has no password'],
    ['UsePAM: false', 'without PAM'],
    ['Match: user x', 'write a drop-in of your own'],
    ['AllowUsers: [ana, ben]', 'would lock deploy out; name it too'],
    ['DenyUsers: "dep*"', 'would lock deploy out'],
    ['AllowGroups: sudo', 'would lock deploy out'],
  ])('that lock the owner out are refused: %s', async (options, said) => {
    const message = await refusal({ 'inventory/prod.yaml': withOptions(options) });
    expect(message).toContain('has 1 problem');
    expect(message).toContain(`ssh.options.${options.split(':')[0]}  `);
    expect(message).toContain(said);
  });

  it('that loosen a host are said once', async () => {
    const loose = withOptions(
      'PermitRootLogin: true, PasswordAuthentication: "yes", AllowUsers: "ana d?ploy@10.*", AuthorizedKeysFile: .ssh/authorized_keys /etc/keys/%u',
    );
    const files = { 'inventory/prod.yaml': `${loose}harden: { sysctl: { net.ipv4.ip_forward: 0 } }\n` };
    await withProject(files, async (directory) => {
      const { warnings } = await loadEnvironment(directory, 'prod');
      expect(warnings).toEqual([
        'ssh.options.PermitRootLogin lets root log in, whose name everybody knows',
        'ssh.options.PasswordAuthentication lets passwords in, which are guessed around the clock',
        'harden.sysctl net.ipv4.ip_forward: 0 cuts containers off from the network',
      ]);
    });
  });
});
