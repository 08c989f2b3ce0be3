/** Counters of devices as /proc/net/dev has them. */
import { expect, test } from 'vitest';
import { deviceCounts } from '../../src/io/device-counts.js';

const TEXT = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  123 4    0    0    0     0          0         0      123 4    0    0    0     0       0          0
td7-1:18446744 1000    0    0    0     0          0         40     0       0    0    0    0     0       0          0
 eth0:1:  5 6 0 0 0 0 0 9 0 0 0 0 0 0 0 0
broken: 1 2 3
`;

test('bytes with broadcasts, packets without; lines that say nothing are left out', () => {
  expect([...deviceCounts(() => TEXT)]).toEqual([
    ['lo', { bytes: 123, packets: 4 }],
    ['td7-1', { bytes: 18_446_744, packets: 960 }],
    ['eth0:1', { bytes: 5, packets: 0 }],
  ]);
  expect(deviceCounts(() => '').size).toBe(0);
});

test('the machine’s own devices are there', () => {
  expect(deviceCounts().get('lo')?.bytes).toBeGreaterThanOrEqual(0);
});
