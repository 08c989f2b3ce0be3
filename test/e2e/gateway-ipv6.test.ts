/** The same for IPv6: Neighbour Solicitations are answered with virtual MACs, routers are advertised, a gateway dies. */
import { beforeAll, expect, test } from 'vitest';
import { type Pings, SHARED6, TARGET6 } from '../../src/demo/lab/gateway-lan.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { GatewayScene } from '../helpers/gateway-scene.js';
import { describeLab } from '../helpers/lab.js';

describeLab('gateways of IPv6 hosts', [], (open) => {
  let scene: GatewayScene;
  let pings: Pings;

  beforeAll(async () => {
    scene = await GatewayScene.open(await open(), {
      gateways: 2,
      hosts: 4,
      ipv6: true,
      group: { algorithm: 'round-robin', advertise: { prefixes: [{ prefix: 'fd07:1::/64' }], interval: '4s' } },
    });
    pings = await scene.pinging(20, TARGET6);
  });

  test('hosts are shared between the gateways by Neighbour Discovery', async () => {
    expect(await scene.members.shares(SHARED6)).toEqual([2, 2]);
    // Both families of a host have one gateway.
    for (const { namespace } of scene.lan.hosts) expect(await namespace.ping('10.6.0.100', { count: 1 })).toBe(1);
    expect(await scene.members.forwarders()).toEqual(await scene.members.forwarders(SHARED6));
  });

  test('a host that asks for routers is told the shared address, and makes itself an address of the prefix', async () => {
    const [{ namespace }] = scene.lan.hosts;
    await namespace.run('ip', ['-6', 'route', 'del', 'default']);
    await namespace.sysctl('net.ipv6.conf.eth0.accept_ra', 2);
    await namespace.ip('link set eth0 down', 'link set eth0 up', 'addr add fd07::1:1/64 dev eth0 nodad');
    await waitFor('a default route', async () =>
      (await namespace.run('ip', ['-6', 'route', 'show', 'default'])).includes(`via ${SHARED6} `),
    );
    const own = await namespace.run('ip', ['-6', '-o', 'addr', 'show', 'dev', 'eth0']);
    expect(own).toMatch(/fd07:1:/);
    expect(await namespace.ping(TARGET6, { count: 2 })).toBe(2);
  });

  test('the master dies: every host goes on', async () => {
    await pings.flowing();
    const event = await scene.lan.die(scene.lan.gateway(1));
    const outages = await pings.outagesOnceSettled(event, 700, 15_000);
    expect(outages.map((outage) => outage?.recovered)).not.toContain(null);
    expect(await scene.members.settled([2])).toBe(2);
  });
});
