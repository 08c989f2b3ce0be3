import { expect, test } from 'vitest';
import { GatewayGroup } from '../../src/gateway/group.js';
import { GROUP_DEFAULTS } from '../../src/gateway/types.js';

test('a group tells what it is', () => {
  const group = new GatewayGroup({
    ...GROUP_DEFAULTS,
    name: 'lan',
    group: 7,
    number: 1,
    mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
    ownAddress: null,
    addresses: [[0, 0, 0xffff, 0x0a0700fe]],
    key: new Uint8Array(32),
    random: (count) => new Uint8Array(count),
  });
  expect(group.status(0)).toMatchObject({ name: 'lan', group: 7, number: 1, state: 'listen' });
});
