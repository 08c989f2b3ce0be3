import { describe, expect, test } from 'vitest';
import { forwardTable } from '../../src/demo/forward-cost.js';

describe('the table of forwarding costs', () => {
  test('columns stand under each other; what was not measured is a dash', () => {
    const row = { size: 64, kpps: 512.4, loss: 0 };
    expect(
      forwardTable([
        { ...row, peer: 'designator', nsPerPacket: 812.3, ratioToNft: 0.5 },
        { ...row, peer: 'nftables DNAT', nsPerPacket: null, ratioToNft: null },
      ]),
    ).toBe(
      [
        'peer           size  ns/packet  kpps  to nft',
        'designator       64        812   512   0.50×',
        'nftables DNAT    64          -   512       -',
      ].join('\n'),
    );
  });
});
