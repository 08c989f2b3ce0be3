/**
 * Document 004 on the wire: three gateways of ours on one switch, hosts with Linux's own ARP. Each test quotes the claims
 * that it shows; the tests go on where the one before has ended.
 */
import { beforeAll, expect, test } from 'vitest';
import { type LanHost, type Pings, SHARED, unixSeconds } from '../../src/demo/lab/gateway-lan.js';
import { forwarderOf, virtualMac } from '../../src/demo/lab/gateway-members.js';
import { waitFor } from '../../src/demo/lab/wait.js';
import { GatewayScene, type SeenArp } from '../helpers/gateway-scene.js';
import { describeLab } from '../helpers/lab.js';

const HOSTS = 6;

describeLab('document 004: gateways behind one address', ['tcpdump', 'arping'], (open) => {
  let scene: GatewayScene;
  let pings: Pings;
  /** What the hosts said and were told when they first asked. */
  let first: SeenArp[];

  beforeAll(async () => {
    scene = await GatewayScene.open(await open(), {
      gateways: 3,
      hosts: HOSTS,
      group: { permanentAfter: 'never', algorithm: 'round-robin' },
    });
    first = await scene.arps(async () => {
      pings = await scene.pinging();
    });
  });

  const asked = (seen: readonly SeenArp[], host: LanHost): SeenArp[] =>
    seen.filter(({ kind, source, target }) => kind === 'request' && source === host.mac && target === SHARED);
  const answered = (seen: readonly SeenArp[], host: LanHost): SeenArp[] =>
    seen.filter(({ kind, destination, sender }) => kind === 'reply' && destination === host.mac && sender === SHARED);
  const gatewaysOfHosts = (): Promise<number[]> => scene.members.forwarders();

  test('claims 1, 10, 19, 26, 37: the master answers a host’s request and names the gateway that it has selected', async () => {
    for (const host of scene.lan.hosts) {
      expect(asked(first, host).length).toBeGreaterThan(0);
      const answers = answered(first, host);
      expect(answers).toHaveLength(asked(first, host).length);
      for (const { from, senderMac, target } of answers) {
        expect(from).toBe(1);
        expect(forwarderOf(senderMac)).toBeGreaterThan(0);
        expect(target).toBe(host.address);
      }
    }
    // Load balancing; and the master is one of those that it selects.
    expect(await scene.members.shares()).toEqual([2, 2, 2]);
  });

  test('claims 1, 8, 10, 17, 19, 26, 32, 37: it answers every ARP message: probes, repeated and unicast requests', async () => {
    const before = await gatewaysOfHosts();
    const slave = scene.lan.hosts.find((_, index) => before[index] === 3) as LanHost;
    const seen = await scene.arps(async () => {
      // A broadcast, then a unicast to the virtual MAC that was told, which is that of a gateway that is not the master.
      expect(await scene.ask(slave, ['-c', '2'])).toBe(2);
      expect(await scene.ask(slave, ['-f', '-D'])).toBe(1);
    });
    expect(asked(seen, slave).length).toBeGreaterThanOrEqual(3);
    expect(asked(seen, slave).map(({ destination }) => destination)).toContain(virtualMac(3));
    const answers = seen.filter(
      ({ kind, sender, targetMac }) => kind === 'reply' && sender === SHARED && targetMac === slave.mac,
    );
    expect(answers).toHaveLength(asked(seen, slave).length);
    // Its outcome for a known host is its present gateway.
    expect(new Set(answers.map(({ senderMac }) => senderMac))).toEqual(new Set([virtualMac(3)]));
    expect(await gatewaysOfHosts()).toEqual(before);
  });

  test('claim 34: no gateway but the elected master selects or answers', async () => {
    const seen = await scene.arps(async () => {
      await Promise.all(scene.lan.hosts.map((host) => scene.ask(host)));
    });
    const speakers = seen.filter(({ kind, sender }) => kind === 'reply' && sender === SHARED).map(({ from }) => from);
    expect(speakers.length).toBeGreaterThanOrEqual(HOSTS);
    expect(new Set(speakers)).toEqual(new Set([1]));
    const views = await Promise.all([1, 2, 3].map((number) => scene.members.rows(number)));
    for (const rows of views) expect(rows.filter(({ master }) => master).map(({ gateway }) => gateway)).toEqual([1]);
  });

  test('claims 2, 9, 11, 18, 20, 27, 33, 38: gateways are layer 3 devices: each forwards what its hosts send', async () => {
    const before = await scene.lan.forwarded();
    await pings.flowing();
    await waitFor('every gateway to forward more', async () =>
      (await scene.lan.forwarded()).every((count, index) => count > before[index] + 10),
    );
    expect(pings.hops()).toEqual(Array(HOSTS).fill(63));
  });

  test('claims 3, 12, 21, 28, 39: the shared address is a virtual one: no gateway has it as its own', async () => {
    for (const { namespace, address } of scene.lan.gateways) {
      const own = await namespace.run('ip', ['-4', '-o', 'addr', 'show', 'dev', 'eth0']);
      expect(own).toContain(`${address}/16`);
      expect(own).not.toContain(SHARED);
    }
    for (const { namespace } of scene.lan.hosts) expect(await namespace.ping(SHARED, { count: 1 })).toBe(1);
  });

  test('claims 4, 13, 22, 29, 40: the answer names a layer 2 address, from which it also comes', () => {
    const answers = first.filter(({ kind, sender }) => kind === 'reply' && sender === SHARED);
    expect(answers.length).toBeGreaterThanOrEqual(HOSTS);
    for (const { source, senderMac } of answers) expect(source).toBe(senderMac);
  });

  test('claims 5, 14, 23, 30, 41: that address is a virtual MAC: its gateway has another one besides', async () => {
    const told = new Set(
      first.filter(({ kind, sender }) => kind === 'reply' && sender === SHARED).map(({ senderMac }) => senderMac),
    );
    expect(told).toEqual(new Set([1, 2, 3].map((number) => virtualMac(number))));
    for (const { mac } of scene.lan.gateways) expect(told).not.toContain(mac);
  });

  test('claims 6, 8, 15, 17, 24, 31, 32, 35, 42: a gateway fails, and the master takes over its hosts at once', async () => {
    const before = await gatewaysOfHosts();
    const event = await scene.lan.die(scene.lan.gateway(3));
    const outages = await pings.outagesOnceSettled(event, 700, 10_000);
    expect(outages.map((outage) => outage?.recovered)).not.toContain(null);
    await scene.members.untilServed(1, { 1: 1, 2: 2, 3: 1 });
    // Its hosts have noticed nothing: they know the same virtual MAC as before.
    expect(await gatewaysOfHosts()).toEqual(before);
    // And those of the others had no part in it.
    expect(outages.filter((_, index) => before[index] !== 3).map((outage) => outage?.missing)).toEqual([0, 0, 0, 0]);
  });

  test('claims 7, 16, 25, 43, 44: it has failed for good: its hosts are told their new gateways, and need not ask', async () => {
    const before = await gatewaysOfHosts();
    const event = unixSeconds();
    const seen = await scene.arps(async () => {
      await scene.members.member(1).command('gateway', 'redistribute', '3');
      await waitFor('no host to know the dead one', async () => !(await gatewaysOfHosts()).includes(3));
    });
    const after = await gatewaysOfHosts();
    // Those of the living gateways stay; the others are shared between them.
    for (const [index, gateway] of before.entries()) if (gateway !== 3) expect(after[index]).toBe(gateway);
    expect(await scene.members.shares()).toEqual([3, 3, 0]);
    const moved = scene.lan.hosts.filter((_, index) => before[index] === 3);
    for (const host of moved) {
      const told = seen.filter(({ destination, sender }) => destination === host.mac && sender === SHARED);
      expect(told.length).toBeGreaterThan(0);
      // By the gateway itself, from its own port: the switch learns where it is, too.
      const gateway = after[scene.lan.hosts.indexOf(host)];
      for (const { from, senderMac } of told) expect([from, forwarderOf(senderMac)]).toEqual([gateway, gateway]);
    }
    expect((await pings.outagesOnceSettled(event, 300, 10_000)).map((outage) => outage?.missing)).toEqual(
      Array(HOSTS).fill(0),
    );
  });

  test('claim 36: the master fails: the successor has the best priority status, the office and the failed one’s hosts', async () => {
    const before = await gatewaysOfHosts();
    // There are two to choose from again.
    await scene.lan.revive(scene.lan.gateway(3));
    await scene.members.member(3).start();
    await scene.members.settled([1, 2, 3]);
    const event = await scene.lan.die(scene.lan.gateway(1));
    const outages = await pings.outagesOnceSettled(event, 700, 10_000);
    expect(outages.map((outage) => outage?.recovered)).not.toContain(null);
    expect(await scene.members.settled([2, 3])).toBe(2);
    await scene.members.untilServed(2, { 1: 2, 2: 2 });
    // Nothing is chosen anew: whoever was given a gateway is still its host.
    const hosts = await scene.members.hosts(2);
    for (const [index, { mac }] of scene.lan.hosts.entries()) {
      const row = hosts.find(({ host }) => host === mac);
      expect(row).toBeDefined();
      if (row?.gateway !== 3) expect(row?.gateway).toBe(before[index]);
    }
    // And it answers now.
    const seen = await scene.arps(() => scene.ask(scene.lan.hosts[0]));
    expect(answered(seen, scene.lan.hosts[0]).map(({ from }) => from)).toEqual([2]);
  });

  test('claim 35: the last one that is left serves all hosts', async () => {
    const event = await scene.lan.die(scene.lan.gateway(2));
    const outages = await pings.outagesOnceSettled(event, 700, 10_000);
    expect(outages.map((outage) => outage?.recovered)).not.toContain(null);
    await scene.members.untilServed(3, { 1: 3, 2: 3, 3: 3 });
  });
});
