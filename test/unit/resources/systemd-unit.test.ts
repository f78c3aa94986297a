import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { systemdUnitKind } from '#resources/systemd-unit';
import { takenPort } from '#resources/unit-start';
import { isEnabled, isRunning, parseUnits, type UnitState } from '#resources/unit-state';

const running: UnitState = { load: 'loaded', active: 'active', sub: 'running', file: 'enabled', stale: false };
const attributes = { type: 'file', mode: '0644', owner: 'root', group: 'root', size: 1 } as const;

function changes(props: Record<string, unknown>, unit: UnitState | undefined, files: Record<string, string> = {}) {
  const text = (key: string) => (files[key] === undefined ? undefined : { ...attributes, content: files[key] });
  const state = unit === undefined ? undefined : { unit, file: text('file'), dropIn: text('dropIn') };
  const wanted = systemdUnitKind.props.parse({ name: 'demo.service', ...props });
  return systemdUnitKind.diff(state, wanted).map(({ summary }) => summary);
}

describe('what a unit needs', () => {
  test('nothing where it is as declared', async () => {
    await fc.assert(
      fc.property(
        fc.boolean(),
        fc.boolean(),
        fc.string(),
        fc.option(fc.string()),
        (enabled, active, content, dropIn) => {
          const unit = { ...running, active: active ? 'active' : 'inactive', file: enabled ? 'enabled' : 'disabled' };
          const props = {
            enabled,
            active: active ? 'started' : 'stopped',
            content,
            ...(dropIn === null ? {} : { dropIn }),
          };
          expect(changes(props, unit, { file: content, ...(dropIn === null ? {} : { dropIn }) })).toEqual([]);
        },
      ),
    );
  });

  test('everything where there is none', () => {
    const props = { content: 'x', dropIn: 'y', enabled: true, active: 'started' };
    expect(changes(props, undefined)).toEqual(['unit: create', 'drop-in: create', 'enable', 'start']);
  });

  test('what is left open is left alone', () => {
    expect(changes({}, { ...running, active: 'failed', file: 'masked' })).toEqual([]);
  });

  test('a mask is lifted only for what it stands in the way of', () => {
    const masked = { ...running, load: 'masked', active: 'inactive', file: 'masked' };
    expect(changes({ enabled: true, active: 'started' }, masked)).toEqual(['unmask', 'enable', 'start']);
    expect(changes({ enabled: false, active: 'stopped' }, masked)).toEqual([]);
  });

  test('a drop-in of ours that is no longer declared goes', () => {
    expect(changes({}, running, { dropIn: 'x' })).toEqual(['drop-in: remove']);
  });

  test('a unit that restarts again and again does not count as started', () => {
    expect(changes({ active: 'started' }, { ...running, active: 'activating', sub: 'auto-restart' })).toEqual([
      'start',
    ]);
  });

  test('files that systemd has not read yet are read', () => {
    expect(changes({}, { ...running, stale: true })).toEqual(['have systemd read it again']);
  });
});

test('a template has instances to start, and a name has its type', () => {
  const parse = (props: object) => systemdUnitKind.props.safeParse(props).success;
  expect(parse({ name: 'x@.service', content: 'y' })).toBe(true);
  expect(parse({ name: 'x@.service', active: 'started' })).toBe(false);
  expect(parse({ name: 'x@1.service', active: 'started' })).toBe(true);
  for (const name of ['x', '--all', '../x.service', 'a b.service']) expect(parse({ name }), name).toBe(false);
});

test('one answer of systemctl is taken apart by its paragraphs', () => {
  const said = `LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
NeedDaemonReload=no

LoadState=not-found
ActiveState=inactive
SubState=dead
UnitFileState=
NeedDaemonReload=no
`;
  const units = parseUnits(['ssh.service', 'nothere.service'], said);
  expect(units.get('ssh.service')).toEqual(running);
  expect(units.get('nothere.service')).toMatchObject({ load: 'not-found', file: '' });
  expect(isRunning(running) && isEnabled(running)).toBe(true);
});

// As the programs themselves log it.
test.each([
  ['nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)', 80],
  ['nginx: [emerg] bind() to [::]:443 failed (98: Address already in use)', 443],
  ['Error: listen EADDRINUSE: address already in use :::3000', 3000],
  ['listen tcp 127.0.0.1:8080: bind: address already in use', 8080],
  ['error: Bind to port 22 on 0.0.0.0 failed: Address already in use.', 22],
  ['Warning: Could not create server TCP listening socket *:6379: bind: Address already in use', 6379],
  ['LOG:  could not bind IPv4 address "127.0.0.1": Address already in use', undefined],
  ['started', undefined],
])('the port is found in: %s', (log, port) => {
  expect(takenPort(log)).toBe(port);
});
