/**
 * What hosts make of the answers of a gateway group: Linux’s own ARP and Neighbour Discovery and the tools that ask, on a
 * bridge with the real frames. Which gateway is chosen is the test’s.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Bridge } from '../../src/demo/lab/lab.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { describeLab } from '../helpers/lab.js';
import { LineChild } from '../helpers/line-child.js';

const SHARED = '10.7.0.254';
const SHARED_LOCAL = 'fe80::7:fe';
const SHARED_GLOBAL = 'fd00:7::fe';
const HOST_MAC = '02:00:00:00:00:11';
const vmac = (number: number): string => `02:54:44:00:07:0${number}`;

describeLab('answers of a gateway group', ['arping', 'ndisc6', 'rdisc6'], (open) => {
  let bridge: Bridge;
  let host: Namespace;
  let station: Namespace;
  let group: LineChild;

  beforeAll(async () => {
    const lab = await open();
    bridge = await lab.bridge('lan');
    const gateway = await lab.namespace('gw');
    host = await lab.namespace('host');
    station = await lab.namespace('other');
    // The kernel of the gateway is to be silent: it is not what is tested here.
    for (const setting of ['all', 'default']) await gateway.sysctl(`net.ipv6.conf.${setting}.disable_ipv6`, 1);
    await lab.plug(bridge, gateway, 'eth0');
    await gateway.ip('link set eth0 arp off');
    await lab.plug(bridge, host, 'eth0', ['10.7.0.11/24', 'fd00:7::11/64'], { mac: HOST_MAC });
    await lab.plug(bridge, station, 'eth0', [`${SHARED}/24`], { mac: '02:00:00:00:06:66' });
    // It has the address, so that arping may announce it; its kernel is not to answer for it.
    await station.sysctl('net.ipv4.conf.all.arp_ignore', 8);
    group = await LineChild.start(gateway, 'gateway-answers-child.mjs', ['eth0', SHARED, SHARED_LOCAL, SHARED_GLOBAL]);
  }, 30_000);

  afterAll(() => group?.stop());

  const cached = async (address: string): Promise<string> =>
    /lladdr (\S+)/.exec(await host.ip(`neigh show ${address} dev eth0`))?.[1] ?? 'none';
  const uses = (address: string, mac: string): Promise<boolean> =>
    waitFor(
      `${address} at ${mac}`,
      async () => (await cached(address)) === mac,
      10_000,
      () => cached(address),
    );
  /** Nobody answers echo here; what counts is what the kernel asks for before it sends one. */
  const speakTo = (address: string): Promise<unknown> =>
    host.tryRun('ping', ['-n', '-c', '1', '-W', '0.2', address.startsWith('fe80') ? `${address}%eth0` : address]);
  /** But for the Router Solicitations, which the kernel sends when it likes. */
  const heard = async (): Promise<string[]> =>
    (await group.call<string[]>('heard')).filter((text) => text !== 'router-solicitation');

  test('a host that asks uses the virtual MAC that it is told, and the bridge knows where that is (claims 4, 5)', async () => {
    await group.call('choose', 1);
    await speakTo(SHARED);
    await uses(SHARED, vmac(1));
    expect(await heard()).toContain('ask  0');
    const learnt = await bridge.namespace.run('bridge', ['fdb', 'show', 'br', bridge.name]);
    expect(learnt).toContain(vmac(1));
  });

  test('a refresh goes to the virtual MAC by unicast, and is answered (claim 1: every ARP message)', async () => {
    await heard();
    // arping asks all once, then the MAC that has answered.
    const { stdout } = await host.tryRun('arping', ['-c', '2', '-w', '4', '-I', 'eth0', SHARED]);
    expect(stdout).toMatch(/Received 2 response/);
    expect(stdout.match(/02:54:44:00:07:01/gi)).toHaveLength(2);
    expect(await heard()).toEqual(['ask  0', 'ask  1']);
  });

  test('a probe is answered: the address is taken', async () => {
    const { status } = await host.tryRun('arping', ['-D', '-c', '1', '-w', '2', '-I', 'eth0', SHARED]);
    expect(status).toBe(1);
    expect(await heard()).toContain('ask probe 0');
    expect(await cached(SHARED)).toBe(vmac(1));
  });

  test('a host is moved at once, twice within what Linux locks an entry for (claim 7)', async () => {
    await speakTo(SHARED);
    await group.call('move', 2);
    await uses(SHARED, vmac(2));
    await group.call('move', 3);
    await uses(SHARED, vmac(3));
    await heard();
    expect(await group.call('hosts')).toContainEqual([HOST_MAC, '10.7.0.11']);
  });

  test('teaching moves the bridge’s entry and nobody’s ARP entry', async () => {
    await group.call('teach', 5);
    await waitFor('the bridge to learn', async () =>
      (await bridge.namespace.run('bridge', ['fdb', 'show', 'br', bridge.name])).includes(vmac(5)),
    );
    expect(await cached(SHARED)).toBe(vmac(3));
    expect(await host.ip('neigh show')).not.toContain(vmac(5));
  });

  test('a station that claims the address misleads a host for no longer than the defence takes', async () => {
    const claim = ['-U', '-c', '1', '-w', '2', '-I', 'eth0', SHARED];
    await station.tryRun('arping', claim);
    await uses(SHARED, '02:00:00:00:06:66');
    await group.call('defend', true);
    await station.tryRun('arping', claim);
    await uses(SHARED, vmac(3));
    expect(await heard()).toContain('claim announcement');
    expect(await group.call('counters')).toMatchObject({ claims: 2, defences: 1, told: 1 });
  });

  test('IPv6: asked, answered and moved, and the router stays one', async () => {
    await group.call('choose', 1);
    await group.call('advertise');
    await waitFor('a default route', async () =>
      (await host.run('ip', ['-6', 'route', 'show', 'default'])).includes(SHARED_LOCAL),
    );
    for (const address of [SHARED_LOCAL, SHARED_GLOBAL]) {
      await speakTo(address);
      await uses(address, vmac(1));
    }
    await group.call('move', 2);
    for (const address of [SHARED_LOCAL, SHARED_GLOBAL]) await uses(address, vmac(2));
    expect(await host.ip('neigh show dev eth0')).toMatch(new RegExp(`${SHARED_LOCAL} lladdr ${vmac(2)} router`));
    expect(await host.run('ip', ['-6', 'route', 'show', 'default'])).toContain(SHARED_LOCAL);
  });

  test('IPv6: the tools that ask are answered', async () => {
    const asked = await host.tryRun('ndisc6', ['-1', '-r', '3', '-w', '1000', SHARED_LOCAL, 'eth0']);
    expect(asked.stdout.toLowerCase()).toContain(vmac(2));
    const solicited = await host.tryRun('rdisc6', ['-1', '-r', '3', '-w', '1000', 'eth0']);
    expect(solicited.stdout).toContain('fd00:7::/64');
    expect(solicited.stdout).toContain(`from ${SHARED_LOCAL}`);
    expect(solicited.stdout).not.toContain('link-layer');
    expect((await group.call<Record<string, number>>('counters')).unicast).toBeGreaterThanOrEqual(1);
  });

  test('IPv6: a host that wants the shared address finds it taken (RFC 4862 §5.4)', async () => {
    await host.ip(`addr add ${SHARED_GLOBAL}/64 dev eth0`);
    await waitFor('duplicate address detection', async () =>
      (await host.ip('addr show dev eth0')).includes('dadfailed'),
    );
    await host.ip(`addr del ${SHARED_GLOBAL}/64 dev eth0`);
    expect(await heard()).toContain('claim detection');
  });

  test('IPv6: the last gateway that ends takes the default route with it', async () => {
    await group.call('farewell');
    await waitFor(
      'no default route',
      async () => !(await host.run('ip', ['-6', 'route', 'show', 'default'])).includes(SHARED_LOCAL),
    );
  });
});
