/** Take-over by address: the peer takes a dead server's own addresses, and its subscribers' are found there. */
import { beforeAll, expect, test } from 'vitest';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { buildTopology, type Topology } from '../../src/demo/lab/topology.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import type { AddressResult } from '../../src/roles/take-over/addresses.js';
import { parseAddress } from '../../src/wire/address.js';
import { describeLab } from '../helpers/lab.js';
import type { LineChild } from '../helpers/line-child.js';
import { startTakeOverPeer } from '../helpers/take-over-peer.js';

describeLab('take-over by address', [], (open) => {
  const PEER = '10.10.1.1';
  const PEER_6 = '2001:db8:1::1';
  const USER = '10.10.1.77';
  const USER_6 = '2001:db8:1::77';
  let net: Topology;
  let heir: Namespace;
  let router: Namespace;
  let peer: LineChild;

  beforeAll(async () => {
    net = await buildTopology(await open());
    heir = net.servers[1];
    router = net.designator; // on the servers' network
    await heir.sysctl('net.ipv4.ip_forward', 1);
    await heir.sysctl('net.ipv6.conf.all.forwarding', 1);
    await heir.sysctl('net.ipv6.conf.eth0.proxy_ndp', 1);
    await heir.ip('link add tun0 type veth peer name tun1', 'link set tun0 up', 'link set tun1 up');
    peer = await startTakeOverPeer(heir, {
      addresses: [
        { address: `${PEER}/24`, interface: 'eth0' },
        { address: `${PEER_6}/64`, interface: 'eth0' },
      ],
      subscribers: { interface: 'eth0', route: 'tun0' },
    });
  }, 30_000);

  const ip6 = (words: string): Promise<string> => heir.run('ip', ['-6', ...words.split(' ')]);
  const macOf = async (namespace: Namespace): Promise<string> =>
    /link\/ether (\S+)/.exec(await namespace.ip('link show eth0'))?.[1] ?? 'none';
  const cached = async (address: string): Promise<string> =>
    /lladdr (\S+)/.exec(await router.ip(`neigh show ${address} dev lan0`))?.[1] ?? 'none';

  test('who had the dead machine’s link-layer address in its cache finds the heir, by both families', async () => {
    const [dead, mac] = [await macOf(net.servers[0]), await macOf(heir)];
    expect(await router.ping(PEER, { count: 1 })).toBe(1);
    expect(await router.ping(PEER_6, { count: 1 })).toBe(1);
    expect([await cached(PEER), await cached(PEER_6)]).toEqual([dead, dead]);
    await net.servers[0].ip('link set eth0 down');
    const results = await peer.call<AddressResult[]>('takeAddresses');
    expect(results.map(({ state, reason }) => [state, reason])).toEqual([
      ['taken', null],
      ['taken', null],
    ]);
    await waitFor('the announcements', async () => (await cached(PEER)) === mac && (await cached(PEER_6)) === mac);
    expect(await router.ping(PEER, { count: 2 })).toBe(2);
    expect(await router.ping(PEER_6, { count: 2 })).toBe(2);
  });

  test('subscribers’ addresses: answered for, and routed', async () => {
    const mac = await macOf(heir);
    const subscribers = [
      { words: parseAddress(USER), length: 32 },
      { words: parseAddress(USER_6), length: 128 },
      { words: parseAddress('2001:db8:77::'), length: 56 },
    ];
    expect(await peer.call('attract', subscribers)).toEqual({ done: 3, failed: 0, reason: null });
    expect(await heir.ip('route show dev tun0')).toContain(USER);
    expect(await ip6('route show dev tun0')).toContain('2001:db8:77::/56');
    // Nobody is behind that device: what counts is whom the packets go to.
    for (const address of [USER, USER_6]) await router.run('bash', ['-c', `echo > /dev/udp/${address}/9`]);
    await waitFor('answers', async () => (await cached(USER)) === mac && (await cached(USER_6)) === mac);
    expect(await peer.call('release', subscribers.slice(0, 1))).toMatchObject({ done: 1 });
    expect(await heir.ip('route show dev tun0')).not.toContain(USER);
  });

  test('at the end the host is as it was', async () => {
    await peer.stop();
    expect(await heir.ip('addr show dev eth0')).not.toContain(`inet ${PEER}/`);
    expect(await ip6('addr show dev eth0')).not.toContain(`inet6 ${PEER_6}/`);
    expect(await heir.ip('neigh show proxy')).toBe('');
    expect(await ip6('route show dev tun0')).not.toContain('2001:db8:77::');
  });
});
