import { describe, expect, test } from 'vitest';
import { Hosts } from '../../../src/gateway/hosts/hosts.js';
import type { AddressWords } from '../../../src/wire/address.js';
import { addressOf, ask, asked, macOf, master, OPTIONS, run, views } from './fixture.js';

describe('selection by the master', () => {
  test('200 hosts, weights 100, 200, 100: 50, 100, 50', () => {
    const hosts = master({}, views(100, 200, 100));
    expect([...ask(hosts, 200)].sort()).toEqual([
      [1, 50],
      [2, 100],
      [3, 50],
    ]);
    expect([1, 2, 3].map((n) => hosts.countOf(n))).toEqual([50, 100, 50]);
  });

  test('a known host keeps its gateway and consumes no turn', () => {
    const hosts = master();
    const first = hosts.choose(macOf(0), asked(0), 0);
    for (let i = 0; i < 7; i++) expect(hosts.choose(macOf(0), asked(0), 5 + i)).toBe(first);
    expect(new Set([first, hosts.choose(macOf(1), asked(1), 9), hosts.choose(macOf(2), asked(2), 9)])).toEqual(
      new Set([1, 2, 3]),
    );
  });

  test('a probe of an unknown host is answered, consumes no turn and is not remembered', () => {
    const hosts = master();
    const probed = hosts.choose(macOf(0), { address: null, turn: false }, 0);
    expect(hosts.choose(macOf(0), { address: null, turn: false }, 1)).toBe(probed);
    expect(hosts.size).toBe(0);
    expect(hosts.choose(macOf(1), asked(1), 2)).toBe(probed);
  });

  test('an unknown host that asks by unicast keeps the gateway that it uses, without a turn', () => {
    const hosts = master();
    expect(hosts.choose(macOf(0), { ...asked(0), uses: 3 }, 0)).toBe(3);
    expect(hosts.choose(macOf(1), { ...asked(1), uses: 9 }, 0)).toBe(1);
    expect(hosts.choose(macOf(2), asked(2), 0)).toBe(2);
    expect(hosts.choose(macOf(0), { ...asked(0), uses: 2 }, 1)).toBe(3);
    expect(hosts.countOf(3)).toBe(1);
  });

  test('sticky: false selects anew each time, but not for a probe', () => {
    const hosts = master({ sticky: false });
    const chosen = [1, 2, 3].map((now) => hosts.choose(macOf(0), asked(0), now));
    expect(new Set(chosen)).toEqual(new Set([1, 2, 3]));
    expect(hosts.choose(macOf(0), asked(0, false), 4)).toBe(chosen[2]);
    expect(hosts.size).toBe(1);
  });

  test('a host whose gateway is dead keeps the virtual MAC while another serves it and it is given out', () => {
    const hosts = master();
    ask(hosts, 3);
    const mine = hosts.rows(0).find(({ forwarder }) => forwarder === 2)?.mac ?? 0;
    hosts.setForwarders(
      views(100, 100, 100).map((view) => (view.number === 2 ? { ...view, server: 1 } : view)),
      1,
    );
    expect(hosts.choose(mine, { address: null, turn: true }, 2)).toBe(2);
  });

  test('no answer names a virtual MAC that nobody serves', () => {
    const hosts = master();
    ask(hosts, 30);
    hosts.setForwarders(
      views(100, 100, 100).map((view) => (view.number === 2 ? { ...view, server: 0 } : view)),
      1,
    );
    for (let i = 0; i < 60; i++) expect([1, 3]).toContain(hosts.choose(macOf(i), asked(i), 2));
    hosts.setForwarders([], 3);
    expect(hosts.choose(macOf(0), asked(0), 4)).toBeNull();
    expect(hosts.choose(macOf(99), asked(99), 4)).toBeNull();
    expect(hosts.choose(macOf(99), asked(99, false), 4)).toBeNull();
  });

  test('what is served but not given out is named only when there is nothing else', () => {
    const hosts = master({}, [{ number: 4, server: 1, givenOut: false, weight: 100, load: 0 }]);
    expect(hosts.choose(macOf(0), asked(0), 0)).toBe(4);
    hosts.setForwarders(
      [
        { number: 4, server: 1, givenOut: false, weight: 100, load: 0 },
        { number: 1, server: 1, givenOut: true, weight: 100, load: 0 },
      ],
      1,
    );
    expect(hosts.choose(macOf(0), asked(0), 1)).toBe(1);
    expect(hosts.rows(1)[0].home).toBe(4);
  });

  test('a weight of 0 gets no hosts, unless all have 0', () => {
    const hosts = master({}, views(0, 100));
    expect([...ask(hosts, 20)]).toEqual([[2, 20]]);
    const none = master({}, views(0, 0));
    expect([...ask(none, 20)].sort()).toEqual([
      [1, 10],
      [2, 10],
    ]);
  });

  test('who is not the master knows and does not choose', () => {
    const hosts = new Hosts(OPTIONS);
    hosts.setForwarders(views(100, 100), 0);
    hosts.follow(2, 0);
    expect(hosts.choose(macOf(0), asked(0), 0)).toBeNull();
    expect(hosts.size).toBe(0);
    expect(hosts.move(null, 1, 0)).toEqual({ ok: false, why: 'this gateway is not the master' });
    expect(hosts.redistribute(1, 0)).toBe(0);
  });
});

describe('the table', () => {
  test('remembers the addresses a host asked from, four of each family', () => {
    const hosts = master();
    const v6 = (i: number): AddressWords => [0xfe800000, 0, 0, i];
    for (let i = 0; i < 6; i++) hosts.choose(macOf(0), { address: addressOf(i), turn: true }, 10 * i);
    for (let i = 0; i < 6; i++) hosts.learn(macOf(0), v6(i), 100 + 10 * i);
    hosts.learn(macOf(1), v6(1), 200);
    expect(hosts.rows(200)).toHaveLength(1);
    expect(hosts.rows(200)[0].addresses).toEqual([2, 3, 4, 5].map(addressOf).concat([2, 3, 4, 5].map(v6)));
  });

  test('a station that speaks for many addresses does not keep the other members busy', () => {
    const hosts = master();
    hosts.choose(macOf(0), asked(0), 0);
    for (let i = 1; i < 1000; i++) hosts.learn(macOf(0), addressOf(i), i / 100);
    expect(hosts.counters().changesMade).toBe(4);
    hosts.learn(macOf(0), addressOf(2000), 20);
    expect(hosts.rows(20)[0].addresses).toEqual([1, 2, 3, 2000].map(addressOf));
  });

  test('stops at its limit: unknown hosts are answered, always the same, and not remembered', () => {
    const hosts = master({ hostLimit: 50 });
    ask(hosts, 50, 1);
    const first = Array.from({ length: 40 }, (_, i) => hosts.choose(macOf(1000 + i), asked(1000 + i), 2));
    const again = Array.from({ length: 40 }, (_, i) => hosts.choose(macOf(1000 + i), asked(1000 + i), 3));
    expect(again).toEqual(first);
    expect(new Set(first)).toEqual(new Set([1, 2, 3]));
    expect(hosts.size).toBe(50);
    expect(hosts.counters().answeredUnstored).toBe(80);
    expect(hosts.events()).toEqual([{ kind: 'table-full', limit: 50 }]);
  });

  test('a flood of made-up hosts displaces those that asked once, never those that asked again', () => {
    const hosts = master({ hostLimit: 100 });
    const honest = 40;
    ask(hosts, honest, 0);
    const before = hosts.rows(0).map(({ mac, forwarder }) => [mac, forwarder]);
    ask(hosts, honest, 30);
    for (let now = 31; now < 1000; now++) {
      for (let i = 0; i < 20; i++) {
        const made = now * 100 + i;
        hosts.choose(macOf(made), asked(made), now);
      }
      expect(hosts.size).toBeLessThanOrEqual(100);
      hosts.messages(now);
    }
    const left = hosts.rows(1000).filter(({ mac }) => mac < macOf(honest));
    expect(left.map(({ mac, forwarder }) => [mac, forwarder])).toEqual(before);
    expect(hosts.counters().replaced).toBeGreaterThan(500);
  });

  test('a host is forgotten when it was silent for the idle time, and not before', () => {
    const hosts = master({ hostIdle: 100 });
    ask(hosts, 10, 0);
    hosts.choose(macOf(3), asked(3), 60);
    run(hosts, 60, 99);
    expect(hosts.size).toBe(10);
    run(hosts, 99, 150);
    expect(hosts.rows(150).map(({ mac }) => mac)).toEqual([macOf(3)]);
    run(hosts, 150, 161);
    expect(hosts.size).toBe(0);
    expect(hosts.position().count).toBe(0);
    expect(hosts.position().digest).toEqual([0, 0]);
  });

  test('many hosts that fall silent at once are forgotten by and by, without a turn that is due for ever', () => {
    const hosts = master({ hostIdle: 100 });
    ask(hosts, 3000, 0);
    hosts.messages(0);
    hosts.tick(100);
    expect(hosts.size).toBe(3000 - 256);
    hosts.messages(100);
    expect(hosts.nextTime).toBeGreaterThan(100);
    run(hosts, 100, 101);
    expect(hosts.size).toBe(0);
  });

  test('rows say who serves a host and since when; filters count', () => {
    const hosts = master();
    ask(hosts, 6, 2);
    expect(hosts.rows(5, { mac: macOf(0) })).toEqual([
      {
        mac: macOf(0),
        addresses: [addressOf(0)],
        forwarder: 1,
        server: 1,
        home: 0,
        confirmed: false,
        age: 3,
        idle: 3,
      },
    ]);
    expect(hosts.rows(5, { forwarder: 2 })).toHaveLength(2);
    expect(hosts.rows(5, { limit: 4 })).toHaveLength(4);
    expect(hosts.forwarderOf(macOf(0))).toBe(1);
    expect(hosts.forwarderOf(macOf(77))).toBe(0);
  });

  test('another algorithm may be taken while it runs', () => {
    const hosts = master({ algorithm: 'round-robin' }, views(100, 300));
    expect([...ask(hosts, 20)].sort()).toEqual([
      [1, 10],
      [2, 10],
    ]);
    hosts.configure({ algorithm: 'weighted' }, 1);
    for (let i = 20; i < 60; i++) hosts.choose(macOf(i), asked(i), 1);
    expect([hosts.countOf(1), hosts.countOf(2)]).toEqual([20, 40]);
  });
});
