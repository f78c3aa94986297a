import { expect, test } from 'vitest';
import type { ReleaseRecord } from '#release/record';
import { heldOf } from '#release/swap';

type Gate = ReleaseRecord['props']['gates'][number];

const gate = (service: string, port: number, blue: string, green: string): Gate => ({
  service,
  port,
  route: '/',
  upstream: `shop_${service}_${port}`,
  addresses: { blue: [blue], green: [green] },
});

const record = (...gates: readonly Gate[]) => ({ props: { gates } as unknown as ReleaseRecord['props'] });

test('requests are held at every way into either release, each with the addresses of its own release', () => {
  const blue = record(gate('web', 3000, '10.0.0.2', '10.0.0.3'), gate('old', 80, '10.0.0.4', '10.0.0.5'));
  const green = record(gate('web', 3000, '10.0.1.2', '10.0.1.3'));
  expect(heldOf({ blue, green })).toEqual([
    { upstream: 'shop_web_3000', addresses: { blue: '10.0.0.2:3000', green: '10.0.1.3:3000' } },
    { upstream: 'shop_old_80', addresses: { blue: '10.0.0.4:80', green: '10.0.0.5:80' } },
  ]);
});

test('where a release is not known any more, the other knows where both answer', () => {
  const green = record(gate('web', 3000, '10.0.1.2', '10.0.1.3'));
  expect(heldOf({ blue: undefined, green })).toEqual([
    { upstream: 'shop_web_3000', addresses: { blue: '10.0.1.2:3000', green: '10.0.1.3:3000' } },
  ]);
  expect(heldOf({ blue: undefined, green: undefined })).toEqual([]);
});

test('a service that answers at another port in the other slot is still the one that is meant', () => {
  const blue = record(gate('web', 3000, '10.0.0.2', '10.0.0.3'));
  const green = record(gate('web', 4000, '10.0.0.2', '10.0.0.3'));
  const addresses = { blue: '10.0.0.2:3000', green: '10.0.0.3:4000' };
  expect(heldOf({ blue, green })).toEqual([
    { upstream: 'shop_web_3000', addresses },
    { upstream: 'shop_web_4000', addresses },
  ]);
});
