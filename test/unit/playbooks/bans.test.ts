import fc from 'fast-check';
import { expect, test } from 'vitest';
import { banControls } from '#playbooks/harden/bans';
import { declared, environments, someFacts } from './environments.ts';

test('jails read logs that are there by then, and an audit asks for exactly those', () => {
  fc.assert(
    fc.property(environments, someFacts, (environment, facts) => {
      const all = declared(environment, facts);
      const jails = all.filter(({ kind, id }) => kind === 'fail2ban-jail' && id !== 'DEFAULT');
      const names = jails.map(({ id }) => id);
      expect(names.includes('nginx-limit-req')).toBe(environment.proxy.rateLimit !== undefined);
      expect(names.includes(`bots-${environment.app}`)).toBe(environment.routes.length > 0);
      const log = all.findIndex(({ id }) => id.startsWith('access log'));
      expect(all.findIndex(({ id }) => id === `bots-${environment.app}`)).toBeGreaterThanOrEqual(log);
      const asked = banControls.flatMap((control) => control.check({ environment, host: 'web', facts })?.key ?? []);
      expect(asked.filter((key) => key.startsWith('jail:')).sort()).toEqual(names.map((name) => `jail:${name}`).sort());
    }),
    { numRuns: 20 },
  );
});

test('a rate that is declared is asked of every domain, and a ban is remembered for as long as it may last', () => {
  fc.assert(
    fc.property(environments, someFacts, (environment, facts) => {
      const all = declared(environment, facts);
      for (const { domain } of environment.routes) {
        const files = all.find(({ kind, id }) => kind === 'nginx-site' && id === domain)?.props['files'];
        const text = Object.values(files as Record<string, string>).join('');
        const { rateLimit } = environment.proxy;
        expect(text.includes('limit_req')).toBe(rateLimit !== undefined);
        if (rateLimit === undefined) continue;
        expect(text).toContain(`zone=${domain}:10m rate=${rateLimit.perSecond}r/s;`);
        expect(text).toContain(`limit_req zone=${domain} burst=${rateLimit.burst} nodelay;`);
      }
      const memory = all.find(({ id }) => id === '/etc/fail2ban/fail2ban.d/slipway.local')?.props['content'];
      const seconds = Number(/^dbpurgeage = (\d+)$/m.exec(String(memory))?.[1]);
      const options = all.find(({ kind, id }) => kind === 'fail2ban-jail' && id === 'DEFAULT')?.props['options'];
      expect(seconds).toBeGreaterThan(Number((options as Record<string, unknown>)['bantime.maxtime']));
    }),
    { numRuns: 10 },
  );
});
