import { describe, expect, test } from 'vitest';
import type { Ask } from '../../../src/gateway/answers/heard.js';
import { PendingAsks } from '../../../src/gateway/answers/pending.js';
import type { AddressWords } from '../../../src/wire/address.js';

const TARGET: AddressWords = [0, 0, 0xffff, 0x0a0700fe];
const ask = (host: number, more: Partial<Ask> = {}): Ask => ({
  kind: 'ask',
  protocol: 'arp',
  host,
  hardware: host,
  address: [0, 0, 0xffff, 0x0a070000 + host],
  target: TARGET,
  index: 0,
  forwarder: 0,
  probe: false,
  turn: true,
  ...more,
});

describe('questions of an interregnum', () => {
  test('come out once, oldest first, one a host and address', () => {
    const pending = new PendingAsks();
    pending.remember(ask(1), 0);
    pending.remember(ask(2), 0.1);
    pending.remember(ask(1, { protocol: 'nd', index: 1 }), 0.2);
    pending.remember(ask(1, { forwarder: 3 }), 0.3);
    expect(pending.size).toBe(3);
    const taken = pending.take(0.4);
    expect(taken.map(({ host, protocol, forwarder }) => `${host} ${protocol} ${forwarder}`)).toEqual([
      '2 arp 0',
      '1 nd 0',
      '1 arp 3',
    ]);
    expect(pending.take(0.4)).toEqual([]);
  });

  test('are forgotten when the master shows that it lives, but for those since', () => {
    const pending = new PendingAsks();
    pending.remember(ask(1), 1);
    pending.remember(ask(2), 2);
    pending.answeredUntil(2);
    expect(pending.take(2).map(({ host }) => host)).toEqual([2]);
    expect(pending.counters()).toEqual({ overflow: 0, expired: 0 });
  });

  test('get too old', () => {
    const pending = new PendingAsks({ maxAge: 3 });
    pending.remember(ask(1), 0);
    pending.remember(ask(2), 2);
    expect(pending.take(4).map(({ host }) => host)).toEqual([2]);
    expect(pending.counters()).toEqual({ overflow: 0, expired: 1 });
  });

  test('are bounded: the oldest goes first', () => {
    const pending = new PendingAsks({ limit: 3 });
    for (let host = 1; host <= 5; host++) pending.remember(ask(host), host / 10);
    expect(pending.take(1).map(({ host }) => host)).toEqual([3, 4, 5]);
    expect(pending.counters()).toEqual({ overflow: 2, expired: 0 });
  });
});
