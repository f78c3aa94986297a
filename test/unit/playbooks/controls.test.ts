import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { exampleContext, hardeningPage } from '#cli/hardening-page';
import type { Environment } from '#inventory/environment';
import { type Control, type ControlContext, meets } from '#playbook/control';
import { AREAS, CONTROLS, unknownControls } from '#playbooks/controls';
import { harden } from '#playbooks/harden';
import type { Facts } from '#protocol/facts';
import type { Declaration } from '#protocol/plan';
import { declared, environments, render, someFacts } from './environments.ts';

function check(property: (environment: Environment, facts: Facts) => void): void {
  fc.assert(fc.property(environments, someFacts, property), { numRuns: 25 });
}

const context = (environment: Environment, facts: Facts): ControlContext => ({ environment, facts, host: 'web' });

const controlsOf = (probe: Control['probe']) => CONTROLS.filter((control) => control.probe === probe);

/** What controls of a probe want, by their keys. */
function wanted(probe: Control['probe'], told: ControlContext) {
  return new Map(
    controlsOf(probe).flatMap((control) => {
      const found = control.check(told);
      return found === undefined ? [] : [[found.key, found.expect] as const];
    }),
  );
}

const only = (all: readonly Declaration[], kind: string) => all.filter((one) => one.kind === kind);

const fileText = (all: readonly Declaration[], path: string): string =>
  all.find(({ kind, id }) => kind === 'file' && id === path)?.props['content'] as string;

describe('the controls', () => {
  test('have names of their own that an inventory can hold, and say what they are for', () => {
    const ids = CONTROLS.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { id, title, why, relax } of CONTROLS) {
      expect(id).toMatch(/^[a-z][a-z0-9-]+$/);
      expect(title, id).toMatch(/^(?:[^A-Z]|[A-Z]{2,}|IPv).*[^.]$/);
      expect(why, id).toMatch(/^[A-Z][^|]*\.$/);
      expect(relax, id).not.toBe('');
    }
  });

  test('ask for each thing once', () => {
    check((environment, facts) => {
      const asked = CONTROLS.flatMap((control) => {
        const found = control.check(context(environment, facts));
        return found === undefined ? [] : [`${control.probe} ${found.key}`];
      });
      expect(new Set(asked).size).toBe(asked.length);
    });
  });

  test('are one with what sshd is told', () => {
    check((environment, facts) => {
      const [sshd] = only(declared(environment, facts), 'sshd-config');
      const { settings, ifKnown } = (sshd?.props ?? {}) as Record<'settings' | 'ifKnown', Record<string, unknown>>;
      const controls = wanted('sshd', context(environment, facts));
      const { Port: _, ...told } = { ...settings, ...ifKnown };
      expect([...controls.keys()].sort()).toEqual(
        Object.keys(told)
          .map((option) => option.toLowerCase())
          .sort(),
      );
      for (const [option, value] of Object.entries(told)) {
        const text = typeof value === 'boolean' ? (value ? 'yes' : 'no') : String(value);
        expect(meets({ value: text }, controls.get(option.toLowerCase()) ?? { is: '' }), option).toBe(true);
      }
    });
  });

  test('are one with what the kernel is told, whatever the inventory says of it', () => {
    const sysctls = fc.constantFrom({}, { 'kernel.kexec_load_disabled': '0' }, { 'net/ipv4/conf/all/rp_filter': '0' });
    fc.assert(
      fc.property(environments, someFacts, sysctls, (environment, facts, sysctl) => {
        const relaxed = { ...environment, harden: { ...environment.harden, sysctl } };
        const values = only(declared(relaxed, facts), 'sysctl')[0]?.props['values'] as Record<string, string | number>;
        const controls = wanted('sysctl', context(relaxed, facts));
        expect([...controls.keys()].sort()).toEqual(Object.keys(values).sort());
        for (const [key, value] of Object.entries(values)) {
          expect(meets({ value: String(value) }, controls.get(key) ?? { is: 'nothing' }), key).toBe(true);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('are one with the modules that are blocked, whatever the inventory allows', () => {
    const names = controlsOf('module').flatMap((control) => control.check(exampleContext())?.key ?? []);
    const allowed = fc.subarray([...names, 'usb_storage', 'nobody-knows']);
    fc.assert(
      fc.property(environments, someFacts, allowed, (environment, facts, allowModules) => {
        const relaxed = { ...environment, harden: { ...environment.harden, allowModules } };
        const text = fileText(declared(relaxed, facts), '/etc/modprobe.d/slipway.conf');
        const blocked = [...text.matchAll(/^install (\S+) \/bin\/false$/gm)].map(([, name]) => name);
        expect([...wanted('module', context(relaxed, facts)).keys()]).toEqual(blocked);
        const isAllowed = (name: string) => allowModules.some((one) => one.replaceAll('_', '-') === name);
        expect(blocked).toEqual(names.filter((name) => !isAllowed(name)));
      }),
      { numRuns: 25 },
    );
  });

  test('are one with what apt is told', () => {
    check((environment, facts) => {
      const text = fileText(declared(environment, facts), '/etc/apt/apt.conf.d/52slipway');
      const told = new Map(
        [...text.matchAll(/^(\S+::\S+) "(.*)";$/gm)].map(([, key = '', value = '']) => [key, value]),
      );
      const list = /^(\S+) \{\n([\s\S]*)^\};$/m.exec(text);
      told.set(list?.[1] ?? '', [...(list?.[2] ?? '').matchAll(/"(.*)"/g)].map(([, origin]) => origin).join(','));
      const controls = wanted('apt', context(environment, facts));
      if (environment.harden.unattendedUpgrades.enabled)
        expect([...controls.keys()].sort()).toEqual([...told.keys()].sort());
      for (const [key, expectation] of controls)
        expect(meets({ value: told.get(key) ?? '' }, expectation), key).toBe(true);
    });
  });

  test('look at no file and no unit that the playbooks do not look after', () => {
    // What packages bring, and only has to stay as it is.
    const brought =
      /^\/(?:etc\/(?:shadow|gshadow|passwd|group|sudoers|sudoers\.d|login\.defs|crontab|ssh\/sshd_config)|root|run\/docker\.sock|var\/lib\/docker|var\/log\/journal|usr\/share\/pam-configs\/pwquality|etc\/docker\/daemon\.json)$/;
    check((environment, facts) => {
      const all = declared(environment, facts);
      const paths = all.flatMap(({ kind, props }) => (['file', 'directory'].includes(kind) ? [props['path']] : []));
      const units = only(all, 'systemd-unit').map(({ props }) => props['name']);
      for (const path of wanted('file', context(environment, facts)).keys()) {
        if (!brought.test(path)) expect(paths).toContain(path);
      }
      for (const unit of wanted('service', context(environment, facts)).keys()) {
        if (unit !== 'systemd-journald.service') expect(units).toContain(unit);
      }
    });
  });

  test('name what was meant by a name that there is not', () => {
    expect(unknownControls({ 'ssh-permit-root-login': 'why' })).toEqual([]);
    expect(unknownControls({ 'ssh-permit-rootlogin': 'why', 'no-such-thing-at-all': 'why' })).toEqual([
      'ssh-permit-rootlogin (did you mean ssh-permit-root-login?)',
      'no-such-thing-at-all',
    ]);
  });
});

describe('what only some hosts can have', () => {
  const packagesOf = (all: readonly Declaration[]) => only(all, 'apt-package').map(({ id }) => id);

  test('the audit log and swap are left out of a container, and that is said', () => {
    check((environment, facts) => {
      const { auditd, swap } = environment.harden;
      const all = declared(environment, facts);
      expect(packagesOf(all).includes('auditd')).toBe(auditd && !facts.container);
      expect(all.some(({ id }) => id === 'slipway-swap.service')).toBe(swap !== undefined && !facts.container);
      const said = (harden.warnings?.({ environment, host: 'web', facts, render }) ?? []).map(({ message }) => message);
      expect(said.some((message) => message.includes('auditd'))).toBe(auditd && facts.container);
      expect(said.some((message) => message.includes('swap'))).toBe(swap !== undefined && facts.container);
    });
  });

  test('a machine with a disk on USB may load what it may boot from', () => {
    check((environment, facts) => {
      const strict = { ...environment, harden: { ...environment.harden, allowModules: [] } };
      for (const usbDisk of [true, false]) {
        const text = fileText(declared(strict, { ...facts, usbDisk }), '/etc/modprobe.d/slipway.conf');
        expect(text.includes('usb-storage')).toBe(!usbDisk);
        expect(wanted('module', context(strict, { ...facts, usbDisk })).has('usb-storage')).toBe(!usbDisk);
      }
    });
  });

  test('the clock is kept by the daemon that is there, and by none in a container', () => {
    const daemons = fc.constantFrom(undefined, 'chrony', 'ntpsec', 'systemd-timesyncd');
    fc.assert(
      fc.property(environments, someFacts, daemons, (environment, facts, daemon) => {
        const told = daemon === undefined ? facts : { ...facts, timeDaemon: daemon };
        const all = declared(environment, told);
        const keeper = daemon ?? 'systemd-timesyncd';
        const isKept = environment.harden.timeSync && !facts.container;
        expect(all.some(({ id }) => id === `${keeper}.service`)).toBe(isKept);
        expect(packagesOf(all).includes('systemd-timesyncd')).toBe(isKept && keeper === 'systemd-timesyncd');
      }),
      { numRuns: 25 },
    );
  });
});

describe('the page about hardening', () => {
  test('is what `npm run docs` writes', () => {
    expect(readFileSync('docs/hardening.md', 'utf8')).toBe(hardeningPage());
  });

  test('has every control with a value, and a table that holds', () => {
    const page = hardeningPage();
    for (const { controls } of AREAS) {
      for (const { id } of controls) expect(page.includes(`\n| \`${id}\`<br>`), id).toBe(true);
    }
    const rows = page.split('\n').filter((line) => line.startsWith('| `') && line.includes('<br>'));
    for (const row of rows) expect(row.replaceAll('\\|', '').split('|')).toHaveLength(8);
  });
});
