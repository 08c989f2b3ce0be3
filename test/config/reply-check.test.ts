/** Which part of a cluster, which way of answering and which addresses fit together. */
import { describe, expect, test } from 'vitest';
import { compiled, linesOf, withTop, withVip } from './sample.js';

describe('ways of answering', () => {
  test.each([
    ['natAddress alone', withVip({ natAddress: '10.0.0.9' }), 'vips.0.natAddress: natAddress belongs to reply: nat'],
    [
      'reply nat without its address',
      withVip({ reply: 'nat' }),
      'vips.0.reply: reply: nat needs natAddress, the address that clients see answers come from',
    ],
    [
      'a natAddress that is a server',
      withVip({ reply: 'nat', natAddress: '10.10.1.1', servers: [{ name: 'a', address: '10.10.1.1' }] }),
      'vips.0.natAddress: 10.10.1.1 is the server at vips.0.servers.0.address',
    ],
    [
      'a natAddress of another family',
      withVip({ reply: 'nat', natAddress: '2001:db8::1' }),
      'vips.0.natAddress: 2001:db8::1 is not of the family of the VIP',
    ],
    [
      'localAddress where answers cross',
      withVip({ reply: 'vip', localAddress: '10.0.0.9' }),
      'vips.0.localAddress: localAddress belongs to VIPs whose answers do not cross this process',
    ],
    [
      'distinct ports where answers do not cross',
      withVip({ reply: 'direct', clientPort: 'distinct' }),
      'vips.0.clientPort: clientPort: distinct changes the client’s port',
    ],
    [
      'a global address where answers cross',
      withVip({ servers: [{ name: 'a', address: '10.0.0.1', globalAddress: '192.0.2.1' }] }),
      'vips.0.servers.0.globalAddress: globalAddress belongs to reply: direct',
    ],
    [
      'a master that answers',
      withTop({ part: 'master' }),
      'vips.0.reply: reply: vip needs both directions to cross one process',
    ],
    [
      'a NAT server without NAT',
      withTop({ part: 'nat' }),
      'vips.0.reply: a process with part: nat has nothing to do for reply: vip',
    ],
    [
      'a server of both kinds',
      withTop({
        vips: [
          { name: 'a', address: '192.0.2.1', servers: [{ name: 'lns1', address: '10.0.0.1' }] },
          { name: 'b', address: '192.0.2.2', reply: 'direct', servers: [{ name: 'lns2', address: '10.0.0.1' }] },
        ],
      }),
      'vips.1.servers.0.address: 10.0.0.1 is the server at vips.0.servers.0.address too',
    ],
  ])('%s', (_, text, message) => {
    expect(linesOf(text).join('\n')).toContain(message);
  });

  test('two VIPs may be answered from one address, which no later VIP may have as its own', () => {
    const vip = (name: string, address: string, more: object) => ({
      name,
      address,
      servers: [{ name: `of-${name}`, address: '10.10.1.1' }],
      ...more,
    });
    const shared = withTop({
      vips: [
        vip('a', '192.0.2.1', { reply: 'nat', natAddress: '192.0.2.9' }),
        vip('b', '192.0.2.2', { reply: 'nat', natAddress: '192.0.2.9' }),
      ],
    });
    expect(linesOf(shared)).toEqual([]);
    const taken = withTop({
      vips: [vip('a', '192.0.2.1', { reply: 'nat', natAddress: '192.0.2.2' }), vip('b', '192.0.2.2', {})],
    });
    expect(linesOf(taken).join('\n')).toContain('vips.0.natAddress: 192.0.2.2 is the VIP at vips.1.address');
  });

  test('direct answers never cross, answers by NAT do not cross the master', () => {
    const servers = [{ name: 'lns1', address: '10.10.1.1', globalAddress: '192.0.2.81' }];
    const direct = compiled(withVip({ reply: 'direct', localAddress: '10.10.1.254', servers })).vips[0];
    expect(direct).toMatchObject({ reply: 'direct', oneWay: true, natAddress: null });
    expect(direct.localAddress?.address).toBe('10.10.1.254');
    expect(direct.servers[0].globalAddress?.address).toBe('192.0.2.81');
    const nat = { reply: 'nat', natAddress: '192.0.2.9' };
    expect(compiled(withVip(nat)).vips[0]).toMatchObject({ reply: 'nat', oneWay: false });
    const master = compiled(withVip(nat, { part: 'master' }));
    expect(master.part).toBe('master');
    expect(master.vips[0]).toMatchObject({ reply: 'nat', oneWay: true });
  });
});
