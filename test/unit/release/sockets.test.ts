import { expect, test } from 'vitest';
import { connectionsTo, listeners } from '#release/sockets';

const HEAD = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';
const row = (local: string, remote: string, state: string): string =>
  `   0: ${local} ${remote} ${state} 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0000000000000000`;
const table = (...rows: string[]): string => `${[HEAD, ...rows].join('\n')}\n`;

test('addresses and ports are read as the kernel writes them, in both families', () => {
  const four = table(row('0100007F:0BB8', '00000000:0000', '0A'), row('00000000:1F90', '00000000:0000', '0A'));
  const six = table(
    row('00000000000000000000000000000000:0BB9', '00000000000000000000000000000000:0000', '0A'),
    row('00000000000000000000000001000000:0BBA', '00000000000000000000000000000000:0000', '0A'),
    row('0000000000000000FFFF00000100007F:0BBB', '00000000000000000000000000000000:0000', '0A'),
    row('B80D0120000000000000000001000000:0BBC', '00000000000000000000000000000000:0000', '0A'),
  );
  expect(listeners(four, six)).toEqual([
    { address: '127.0.0.1', port: 3000 },
    { address: '0.0.0.0', port: 8080 },
    { address: '::', port: 3001 },
    { address: '::1', port: 3002 },
    { address: '127.0.0.1', port: 3003 },
    { address: '2001:db8:0:0:0:0:0:1', port: 3004 },
  ]);
});

test("Docker's resolver is no listener of the app, and neither is a connection", () => {
  const there = table(row('0B00007F:A1B2', '00000000:0000', '0A'), row('0100007F:0BB8', '0100007F:D431', '01'));
  expect(listeners(there)).toEqual([]);
  expect(listeners('', '')).toEqual([]);
});

test('connections are those established to the addresses, not from them and not closing', () => {
  const there = table(
    row('01A61DAC:EE14', 'D8A71DAC:0BB8', '01'),
    row('01A61DAC:EE15', 'D9A71DAC:0BB8', '01'),
    row('D8A71DAC:0BB8', '01A61DAC:EE16', '01'),
    row('01A61DAC:EE17', 'D8A71DAC:0BB8', '06'),
  );
  expect(connectionsTo(there, new Set(['172.29.167.216']))).toEqual([
    { local: { address: '172.29.166.1', port: 60948 }, remote: { address: '172.29.167.216', port: 3000 } },
  ]);
});
