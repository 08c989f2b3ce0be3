/** What the devices do: test/e2e/gateway-host.test.ts. */
import { describe, expect, test } from 'vitest';
import { deviceCounts } from '../../src/io/device-counts.js';
import { isOwnDevice } from '../../src/io/virtual-macs.js';

const DEV = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    1200      10    0    0    0     0          0         0     1200      10    0    0    0     0       0          0
 td7-3: 9007199254      70    0    0    0     0          0        12        0       0    0    0    0     0       0          0
td7-255:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
`;

describe('what a device took in', () => {
  test('packets without broadcasts, bytes with them', () => {
    const found = deviceCounts(() => DEV);
    expect([...found.keys()]).toEqual(['lo', 'td7-3', 'td7-255']);
    expect(found.get('td7-3')).toEqual({ bytes: 9007199254, packets: 58 });
  });

  test.each(['', 'nonsense', 'td7-3: 1 2 3', 'td7-3: a b c d e f g h'])('of %j nothing is taken', (text) =>
    expect(deviceCounts(() => text).size).toBe(0),
  );
});

test('a device of a group is known by its alias, and by nothing else', () => {
  expect(isOwnDevice({ kind: 'macvlan', alias: 'designator gateway eth0 group 7 forwarder 3' })).toBe(true);
  expect(isOwnDevice({ kind: 'dummy', alias: 'designator gateway eth0 group 7 forwarder 3' })).toBe(false);
  expect(isOwnDevice({ kind: 'macvlan', alias: '' })).toBe(false);
});
