/** What becomes of a dead gateway's virtual MAC, for hosts that heed what they are told and for those that do not. */
import { describe, expect, test } from 'vitest';
import type { ForwarderRow } from '../../src/gateway/types.js';
import { GatewayFarm } from '../helpers/gateway-farm.js';

function scene(group: ConstructorParameters<typeof GatewayFarm>[0] = {}): GatewayFarm {
  const farm = new GatewayFarm({
    gateways: 3,
    hosts: 12,
    hostsFrom: 1.5,
    hostsWithin: 0.5,
    each: (number) => ({ priority: 100 + number }),
    ...group,
    group: { algorithm: 'round-robin', ...group.group },
  });
  farm.run(3);
  return farm;
}

const row = (farm: GatewayFarm, number: number): ForwarderRow | undefined =>
  farm.master.engine.forwarders(farm.now).find((one) => one.number === number);
/** MACs that new hosts are told, several of them. */
function told(farm: GatewayFarm): Set<number | null> {
  const macs = new Set<number | null>();
  for (let i = 0; i < 6; i++) {
    const host = farm.addHost({ busy: false });
    host.use(farm.now);
    farm.run(0.01);
    macs.add(host.gatewayMac);
  }
  return macs;
}

describe('a dead gateway', () => {
  test('is stood in for and given out; from `redirect` on not given out; after `timeout` its virtual MAC is gone', () => {
    const farm = scene({ group: { permanentAfter: Number.POSITIVE_INFINITY, redirect: 10, timeout: 30 } });
    const dead = farm.gateway(1);
    dead.die();
    farm.run(2);
    expect(row(farm, 1)).toMatchObject({ state: 'taken-over', server: 3, givenOut: true });
    expect(told(farm)).toContain(dead.vmac());
    farm.run(10);
    expect(row(farm, 1)).toMatchObject({ state: 'draining', server: 3, givenOut: false });
    expect(told(farm)).not.toContain(dead.vmac());
    // Those who have it are served on.
    const users = farm.hosts.filter(({ gatewayMac }) => gatewayMac === dead.vmac());
    expect(users.length).toBeGreaterThan(0);
    for (const host of users) expect(farm.serversOf(host)).toEqual([farm.master]);
    farm.run(20);
    expect(row(farm, 1)?.server ?? 0).toBe(0);
    expect(farm.living.some(({ held }) => held.has(dead.vmac()))).toBe(false);
  });

  test('after `permanentAfter` its hosts have been told; one that heeds nothing is served until `timeout`', () => {
    const farm = scene({
      group: { permanentAfter: 5, redirect: 600, timeout: 60 },
      host: { stubborn: true, busy: false },
    });
    const dead = farm.gateway(1);
    for (const host of farm.hosts) host.use(farm.now);
    farm.run(0.1);
    const deaf = farm.hosts.filter(({ gatewayMac }) => gatewayMac === dead.vmac());
    expect(deaf.length).toBeGreaterThan(0);
    dead.die();
    farm.run(7);
    // The table says that they have gone; they have not, and lose nothing by it.
    expect(farm.master.engine.hosts(farm.now, { forwarder: 1 })).toEqual([]);
    expect(row(farm, 1)).toMatchObject({ state: 'draining', givenOut: false, hosts: 0 });
    for (const host of deaf) {
      expect(host.gatewayMac).toBe(dead.vmac());
      expect(farm.serversOf(host)).toEqual([farm.master]);
    }
    farm.run(50);
    for (const host of deaf) expect(farm.serversOf(host)).toEqual([farm.master]);
    farm.run(10);
    for (const host of deaf) expect(farm.serversOf(host)).toEqual([]);
  });

  test('whose hosts are with others: it returns, and with `return: stay` they stay there', () => {
    const farm = scene({ group: { permanentAfter: 2, return: 'stay' } });
    const dead = farm.gateway(1);
    dead.die();
    farm.run(5);
    dead.restart();
    farm.run(20);
    expect(row(farm, 1)).toMatchObject({ state: 'active', server: 1, givenOut: true, hosts: 0 });
    expect(farm.shares().get(1) ?? 0).toBe(0);
    expect(told(farm)).toContain(dead.vmac());
  });

  test.each(['gradual', 'at-once'] as const)('it returns, and with `return: %s` its hosts come back', (how) => {
    const farm = scene({ group: { permanentAfter: 2, return: how } });
    const dead = farm.gateway(1);
    const hosts = farm.hosts.filter(({ gatewayMac }) => gatewayMac === dead.vmac());
    expect(hosts).toHaveLength(4);
    dead.die();
    farm.run(5);
    for (const { gatewayMac } of hosts) expect(gatewayMac).not.toBe(dead.vmac());
    dead.restart();
    farm.run(20);
    expect(row(farm, 1)).toMatchObject({ state: 'active', server: 1 });
    for (const host of hosts) {
      expect(host.gatewayMac).toBe(dead.vmac());
      expect(farm.serversOf(host)).toEqual([dead]);
    }
  });

  test('that returns within moments: nobody is told anything, nothing has moved', () => {
    const farm = scene();
    const dead = farm.gateway(1);
    const before = farm.hosts.map(({ gatewayMac }) => gatewayMac);
    dead.die();
    farm.run(0.4);
    dead.restart();
    farm.run(5);
    expect(row(farm, 1)).toMatchObject({ state: 'active', server: 1 });
    expect(farm.hosts.map(({ gatewayMac }) => gatewayMac)).toEqual(before);
    expect(farm.hosts.reduce((sum, { moves }) => sum + moves, 0)).toBe(0);
  });

  test('the timers go on when the master changes', () => {
    const farm = scene({ gateways: 4, group: { permanentAfter: 6, redirect: 600, timeout: 60 } });
    const dead = farm.gateway(1);
    dead.die();
    farm.run(3);
    farm.master.die();
    farm.run(4);
    // Six seconds after its death, not after the new master's election.
    expect(row(farm, 1)).toMatchObject({ state: 'draining', givenOut: false });
    expect(farm.hosts.filter(({ gatewayMac }) => gatewayMac === dead.vmac())).toEqual([]);
  });
});
