import { describe, expect, test } from 'vitest';
import { MoveQueue } from '../../../src/gateway/hosts/moves.js';
import type { ForwarderView } from '../../../src/gateway/hosts/types.js';
import { ask, asked, macOf, master, run, views } from './fixture.js';

const without = (number: number, list: readonly ForwarderView[], server = 1): ForwarderView[] =>
  list.map((view) => (view.number === number ? { ...view, server, givenOut: false } : view));
const counts = (hosts: ReturnType<typeof master>): number[] => [1, 2, 3].map((n) => hosts.countOf(n));

describe('redistribution', () => {
  test('200 hosts of a dead gateway are told within a second, each exactly once, then once more', () => {
    const hosts = master({}, views(100, 100, 100));
    ask(hosts, 600);
    hosts.setForwarders(without(2, views(100, 100, 100)), 10);
    expect(hosts.redistribute(2, 10)).toBe(200);
    expect(hosts.leaving(2)).toBe(200);
    const told = run(hosts, 10, 20);
    const first = told.filter(({ move }) => move.reason === 'redistribute');
    expect(new Set(first.map(({ move }) => move.host)).size).toBe(200);
    expect(first).toHaveLength(200);
    expect(first[199].at - 10).toBeLessThanOrEqual(1);
    expect(first.every(({ move }) => move.from === 2 && move.to !== 2 && move.addresses.length === 1)).toBe(true);
    expect(counts(hosts)).toEqual([300, 0, 300]);
    expect(hosts.leaving(2)).toBe(0);
    const again = told.filter(({ move }) => move.reason === 'repeat');
    expect(again).toHaveLength(200);
    expect(again[0].at - first[0].at).toBeGreaterThan(1);
    expect(hosts.events()).toEqual([
      { kind: 'moving', reason: 'redistribute', forwarder: 2, hosts: 200 },
      { kind: 'moved', reason: 'redistribute', forwarder: 2, hosts: 200 },
    ]);
  });

  test('no more are told in a second than the pace', () => {
    const hosts = master({ movesPerSecond: 50 });
    ask(hosts, 300);
    hosts.setForwarders(without(2, views(100, 100, 100)), 10);
    hosts.redistribute(2, 10);
    const first = run(hosts, 10, 20).filter(({ move }) => move.reason === 'redistribute');
    expect(first).toHaveLength(100);
    for (const { at } of first)
      expect(first.filter((other) => other.at >= at && other.at < at + 1).length).toBeLessThan(55);
    expect(first[99].at - 10).toBeLessThan(2.1);
  });

  test('by weight', () => {
    const hosts = master({}, views(100, 100, 300));
    ask(hosts, 500);
    hosts.setForwarders(without(2, views(100, 100, 300)), 10);
    hosts.redistribute(2, 10);
    run(hosts, 10, 15);
    expect(counts(hosts)).toEqual([125, 0, 375]);
  });

  test('a host that asks meanwhile is told by the reply and not again', () => {
    const hosts = master({ movesPerSecond: 1 });
    ask(hosts, 30);
    hosts.setForwarders(without(2, views(100, 100, 100)), 10);
    hosts.redistribute(2, 10);
    const last = hosts.rows(10, { forwarder: 2 })[9].mac;
    const to = hosts.choose(last, asked(0), 10.1);
    expect([1, 3]).toContain(to);
    expect(hosts.rows(10, { mac: last })[0]).toMatchObject({ forwarder: to, home: 2 });
    expect(run(hosts, 10.2, 40).filter(({ move }) => move.host === last)).toEqual([]);
  });

  test('a target that dies meanwhile gets no more', () => {
    const hosts = master();
    ask(hosts, 600);
    hosts.setForwarders(without(2, views(100, 100, 100)), 10);
    hosts.redistribute(2, 10);
    run(hosts, 10, 10.2);
    hosts.setForwarders(without(3, without(2, views(100, 100, 100))), 10.25);
    const late = run(hosts, 10.25, 15).filter(({ move }) => move.reason === 'redistribute');
    expect(late.length).toBeGreaterThan(50);
    expect(late.every(({ move }) => move.to === 1)).toBe(true);
  });

  test('without anybody else, nobody is moved', () => {
    const hosts = master({}, views(100));
    ask(hosts, 5);
    hosts.redistribute(1, 1);
    expect(run(hosts, 1, 5)).toEqual([]);
    expect(hosts.countOf(1)).toBe(5);
    expect(hosts.leaving(1)).toBe(0);
    expect(hosts.counters().movesWithoutTarget).toBe(5);
  });

  test('by host-dependent selection, a host goes where it would be selected to', () => {
    const hosts = master({ algorithm: 'host' });
    ask(hosts, 300);
    hosts.setForwarders(without(2, views(100, 100, 100)), 10);
    hosts.redistribute(2, 10);
    const told = run(hosts, 10, 12).filter(({ move }) => move.reason === 'redistribute');
    const fresh = master({ algorithm: 'host' }, without(2, views(100, 100, 100)));
    for (const { move } of told) expect(fresh.choose(move.host, asked(0), 0)).toBe(move.to);
  });
});

describe('return of a gateway', () => {
  const failed = (mode: 'gradual' | 'stay' | 'at-once') => {
    const hosts = master({ return: mode });
    ask(hosts, 300);
    hosts.setForwarders(without(2, views(100, 100, 100)), 10);
    hosts.redistribute(2, 10);
    run(hosts, 10, 20);
    hosts.setForwarders(views(100, 100, 100), 20);
    return hosts;
  };

  test('gradual: ten hosts a second, those that it lost', () => {
    const hosts = failed('gradual');
    expect(hosts.returned(2, 20)).toBe(100);
    const back = run(hosts, 20, 40).filter(({ move }) => move.reason === 'return');
    expect(back).toHaveLength(100);
    expect(back.filter(({ at }) => at < 21).length).toBeLessThanOrEqual(11);
    expect(back[99].at).toBeGreaterThan(29);
    expect(back[99].at).toBeLessThan(31);
    expect(counts(hosts)).toEqual([100, 100, 100]);
    expect(hosts.rows(40).every(({ home }) => home === 0)).toBe(true);
  });

  test('stay: nobody', () => {
    const hosts = failed('stay');
    expect(hosts.returned(2, 20)).toBe(0);
    expect(run(hosts, 20, 40).filter(({ move }) => move.reason === 'return')).toEqual([]);
    expect(counts(hosts)).toEqual([150, 0, 150]);
  });

  test('at-once: at the pace of moves', () => {
    const hosts = failed('at-once');
    expect(hosts.returned(2, 20)).toBe(100);
    const back = run(hosts, 20, 40).filter(({ move }) => move.reason === 'return');
    expect(back[99].at - 20).toBeLessThan(0.5);
  });

  test('before it gets its virtual MAC back, its hosts leave that for the stand-in; then they come back', () => {
    const hosts = master();
    ask(hosts, 300);
    const standIn = views(100, 100, 100).map((view) => (view.number === 2 ? { ...view, server: 1 } : view));
    hosts.setForwarders(standIn, 10);
    expect(hosts.vacate(2, 1, 11)).toBe(100);
    run(hosts, 11, 13);
    expect(hosts.leaving(2)).toBe(0);
    expect(counts(hosts)).toEqual([200, 0, 100]);
    hosts.setForwarders(views(100, 100, 100), 13);
    expect(hosts.returned(2, 13)).toBe(100);
    run(hosts, 13, 30);
    expect(counts(hosts)).toEqual([100, 100, 100]);
  });

  test('a gateway that dies again while its hosts return keeps none waiting for it', () => {
    const hosts = failed('gradual');
    hosts.returned(2, 20);
    run(hosts, 20, 22);
    hosts.setForwarders(without(2, views(100, 100, 100), 0), 22);
    hosts.redistribute(2, 22);
    run(hosts, 22, 40);
    expect(counts(hosts)[1]).toBe(0);
    expect(hosts.size).toBe(300);
    expect(hosts.rows(40).filter(({ home }) => home === 2)).toHaveLength(100);
  });
});

describe('commands and stragglers', () => {
  test('one host, or every host, to a gateway', () => {
    const hosts = master();
    ask(hosts, 30);
    expect(hosts.move(macOf(0), 3, 1)).toEqual({ ok: true, hosts: 1 });
    run(hosts, 1, 1.2);
    expect(hosts.forwarderOf(macOf(0))).toBe(3);
    expect(hosts.move(null, 3, 2)).toEqual({ ok: true, hosts: 19 });
    run(hosts, 2, 5);
    expect(hosts.countOf(3)).toBe(30);
  });

  test('where it is not possible, why', () => {
    const hosts = master({}, without(3, views(100, 100, 100), 0));
    ask(hosts, 3);
    expect(hosts.move(macOf(0), 9, 1)).toEqual({ ok: false, why: 'there is no gateway 9' });
    expect(hosts.move(macOf(0), 3, 1)).toEqual({ ok: false, why: 'nobody serves gateway 3' });
    expect(hosts.move(macOf(99), 2, 1)).toEqual({ ok: false, why: 'the host is not known' });
  });

  test('a host that is there already is told once more', () => {
    const hosts = master();
    ask(hosts, 3);
    expect(hosts.move(macOf(0), 1, 1)).toEqual({ ok: true, hosts: 0 });
    expect(hosts.moves(1).map(({ host, to }) => [host, to])).toEqual([[macOf(0), 1]]);
    expect(hosts.moves(1)).toEqual([]);
  });

  test('traffic for a forwarder without hosts: those that have not asked since are told again, then everybody, twice', () => {
    const hosts = master();
    ask(hosts, 30);
    hosts.setForwarders(without(2, views(100, 100, 100)), 10);
    hosts.redistribute(2, 10);
    run(hosts, 10, 20);
    const moved = hosts.rows(20).filter(({ home }) => home === 2);
    for (const { mac } of moved.slice(0, 4)) hosts.choose(mac, { address: null, turn: true }, 20);
    const told: number[] = [];
    // The last move was at 10.25 or before; what is reported a second later was carried before that.
    hosts.straggling(2, 11.2);
    expect(hosts.moves(12).filter(({ reason }) => reason === 'straggler')).toEqual([]);
    for (let now = 21; now < 600; now += 0.5) {
      hosts.straggling(2, now);
      for (const { reason, host, to } of hosts.moves(now)) {
        if (reason !== 'straggler') continue;
        told.push(host);
        expect(to).toBe(hosts.forwarderOf(host));
      }
    }
    expect(new Set(told.slice(0, 6))).toEqual(new Set(moved.slice(4).map(({ mac }) => mac)));
    expect(new Set(told.slice(6, 36)).size).toBe(30);
    expect(told).toHaveLength(66);
  });

  test('a successor, which does not know who was moved, tells everybody at the pace of moves', () => {
    const hosts = master({ movesPerSecond: 40 });
    ask(hosts, 90);
    hosts.setForwarders([...views(100, 100, 100), { number: 4, server: 1, givenOut: false, weight: 100, load: 0 }], 10);
    hosts.straggling(4, 10);
    const told = run(hosts, 10, 20);
    expect(new Set(told.map(({ move }) => move.host)).size).toBe(90);
    expect(told[89].at - 10).toBeGreaterThan(2);
    expect(counts(hosts)).toEqual([30, 30, 30]);
    // Hosts that have it by right, because it is only given out no more, are no stragglers.
    hosts.setForwarders(without(2, views(100, 100, 100)), 30);
    hosts.straggling(2, 30);
    expect(run(hosts, 30, 40)).toEqual([]);
  });
});

describe('the queue', () => {
  test('a host stands in it once, and a later plan counts', () => {
    const queue = new MoveQueue({ movesPerSecond: 400, returnsPerSecond: 10 });
    queue.add({ host: 1, from: 2, to: 3, reason: 'vacate' });
    queue.add({ host: 1, from: 2, to: 4, reason: 'command' });
    queue.add({ host: 2, from: 2, to: 4, reason: 'return' }, true);
    expect([queue.size, queue.leaving(2)]).toEqual([2, 2]);
    expect(queue.next(0).map(({ host, to }) => [host, to])).toEqual([
      [1, 4],
      [2, 4],
    ]);
    expect([queue.size, queue.leaving(2)]).toEqual([0, 0]);
    expect(queue.nextTime).toBe(Number.POSITIVE_INFINITY);
  });

  test('a clock that goes back gives no one a greater pace', () => {
    const queue = new MoveQueue({ movesPerSecond: 40, returnsPerSecond: 10 });
    for (let i = 0; i < 100; i++) queue.add({ host: i, from: 1, to: 2, reason: 'redistribute' });
    expect(queue.next(1000)).toHaveLength(1);
    expect(queue.next(0)).toHaveLength(0);
    expect(queue.next(0.1)).toHaveLength(1);
  });
});
