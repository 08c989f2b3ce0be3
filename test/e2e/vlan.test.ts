/** Tagged interfaces that the host has no VLAN device for. */
import { afterEach, expect, test } from 'vitest';
import type { Lab } from '../../src/demo/lab/lab.js';
import { describeLab } from '../helpers/lab.js';
import { TaggedPath } from '../helpers/tagged-path.js';

describeLab('VLANs without devices', [], (open) => {
  let lab: Lab | undefined;
  afterEach(() => lab?.close());

  test.each([
    ['two VLANs of one parent', 'trunk0.100', 'trunk0.200'],
    ['a VLAN on each of two interfaces', 'wan0.100', 'lan0.200'],
    ['a VLAN outside alone', 'wan0.100', 'lan0'],
    ['a VLAN inside alone', 'wan0', 'lan0.200'],
  ])('clients and servers on %s', async (_name, outside, inside) => {
    lab = await open();
    const path = await TaggedPath.open(lab, { outside, inside });
    await path.exchange(3, 'aaaa');
    expect((await path.appliance.tunnels()).map(({ state, server }) => [state, server])).toEqual([
      ['established', 'lns1'],
    ]);
  });
});
