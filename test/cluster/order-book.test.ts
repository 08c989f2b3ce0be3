import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OrderBook, type OrderWhat, stateOrder } from '../../src/cluster/order-book.js';
import { emitOrders, readOrders, type ServerOrder } from '../../src/wire/cluster-orders.js';
import { NOTICE_LIMIT } from '../../src/wire/cluster-notice.js';

const EPOCH = 1_750_000_000_000;

class Member {
  readonly done = new Map<string, string>();
  readonly servers: Set<string>;
  decides = true;
  book: OrderBook;

  constructor(
    readonly number: number,
    servers: readonly string[] = ['lns1', 'lns2'],
  ) {
    this.servers = new Set(servers);
    this.book = this.restart();
  }

  restart(): OrderBook {
    this.book = new OrderBook({ number: this.number, apply: (server, what) => this.#apply(server, what) });
    return this.book;
  }

  order(server: string, what: OrderWhat, now: number, clock = EPOCH + now * 1000): void {
    this.#apply(server, what);
    this.book.ordered(server, what, now, clock);
  }

  #apply(server: string, what: OrderWhat): 'done' | 'unknown' | 'later' {
    if (!this.servers.has(server)) return 'unknown';
    if (!this.decides && 'action' in what && what.action === 'inactivate') return 'later';
    this.done.set(`${'weight' in what ? 'weight' : 'state'} ${server}`, JSON.stringify(what));
    return 'done';
  }
}

/** Everything that anybody has to say reaches everybody. */
function settle(members: readonly Member[], now: number): void {
  for (let round = 0; round < 4; round++)
    for (const from of members)
      for (const body of from.book.turn(now + round * 11))
        for (const to of members) if (to !== from) to.book.receive(body, now + round * 11, EPOCH + now * 1000);
}

describe('orders about servers', () => {
  test('are done at every member, and told at once', () => {
    const [a, b] = [new Member(1), new Member(2)];
    a.order('lns1', stateOrder('drain', 30), 100);
    const [body] = a.book.turn(100);
    b.book.receive(body, 100, EPOCH + 100_000);
    expect(b.done.get('state lns1')).toBe(JSON.stringify(stateOrder('drain', 30)));
    expect(a.book.turn(100.2)).toEqual([]);
    expect(a.book.turn(111)).toHaveLength(1);
  });

  test('a member that comes later is told what stands, with what is left of a deadline', () => {
    const [a, late] = [new Member(1), new Member(2)];
    a.order('lns1', stateOrder('drain', 30), 100);
    a.order('lns2', { weight: 7 }, 101);
    a.book.turn(101);
    a.book.joined();
    for (const body of a.book.turn(112)) late.book.receive(body, 112, EPOCH + 112_000);
    expect(Object.fromEntries(late.done)).toEqual({
      'state lns1': JSON.stringify(stateOrder('drain', 18)),
      'weight lns2': '{"weight":7}',
    });
  });

  test('the newest wins, also against a member that was started again and knows nothing yet', () => {
    const [a, b] = [new Member(1), new Member(2)];
    b.order('lns1', stateOrder('drain'), 100);
    settle([a, b], 100);
    a.restart();
    a.order('lns1', stateOrder('enable'), 200);
    settle([a, b], 200);
    for (const { done } of [a, b]) expect(done.get('state lns1')).toBe(JSON.stringify(stateOrder('enable')));
  });

  test('about a server that is not configured wait until it is', () => {
    const [a, b] = [new Member(1, ['lns1', 'new']), new Member(2)];
    a.order('new', stateOrder('disable'), 100);
    settle([a, b], 100);
    expect(b.done.size).toBe(0);
    expect(b.book.counters.unknown).toBe(1);
    b.servers.add('new');
    b.book.retry(100);
    b.book.retry(100);
    expect(b.done.get('state new')).toBe(JSON.stringify(stateOrder('disable')));
    expect(b.book.counters.unknown).toBe(1);
  });

  test('that wait are done with what is left of their deadline', () => {
    const [a, b] = [new Member(1, ['new']), new Member(2)];
    a.order('new', stateOrder('drain', 30), 100);
    for (const body of a.book.turn(100)) b.book.receive(body, 100, EPOCH + 100_000);
    b.servers.add('new');
    b.book.retry(125);
    expect(b.done.get('state new')).toBe(JSON.stringify(stateOrder('drain', 5)));
  });

  test('that are another member’s to do wait until this one has its duty, unless they were done meanwhile', () => {
    const [a, b, c] = [new Member(1), new Member(2), new Member(3)];
    for (const member of [a, b, c]) member.decides = false;
    a.book.ordered('lns1', stateOrder('inactivate'), 100, EPOCH + 100_000, false);
    a.book.ordered('lns2', stateOrder('inactivate'), 100, EPOCH + 100_000, false);
    settle([a, b, c], 100);
    expect([a, b, c].map(({ done }) => done.size)).toEqual([0, 0, 0]);
    b.decides = true;
    b.book.retry(105);
    expect(b.done.get('state lns1')).toBe(JSON.stringify(stateOrder('inactivate')));
    // What the deciding member then tells of the server stands for the order at all others.
    b.order('lns1', stateOrder('off'), 110);
    settle([a, b, c], 110);
    c.decides = true;
    c.book.retry(110);
    expect(c.done.get('state lns1')).toBe(JSON.stringify(stateOrder('off')));
    expect(c.done.get('state lns2')).toBe(JSON.stringify(stateOrder('inactivate')));
    expect([a, b, c].map(({ book }) => book.counters.unknown)).toEqual([0, 0, 0]);
  });

  test('an order from a year ahead does not win for ever', () => {
    const b = new Member(2);
    const ahead: ServerOrder = { server: 'lns1', what: { weight: 1 }, stamp: EPOCH * 2, by: 1 };
    for (const body of emitOrders([ahead])) b.book.receive(body, 100, EPOCH);
    expect(b.done.size).toBe(0);
    expect(b.book.counters.ahead).toBe(1);
  });

  test('are kept for so many servers, and counted beyond', () => {
    const b = new Member(2, []);
    for (let n = 0; n < 5000; n++) b.order(`s${n}`, { weight: 1 }, 1);
    expect(b.book.size).toBe(4096);
    expect(b.book.counters.full).toBe(904);
    for (const body of b.book.turn(2)) expect(body.length).toBeLessThanOrEqual(NOTICE_LIMIT);
  });

  test('whatever is lost, repeated or overtaken: at the end all members agree', () => {
    const step = fc.record({
      member: fc.integer({ min: 0, max: 2 }),
      server: fc.constantFrom('lns1', 'lns2'),
      what: fc.oneof(
        fc.record({ weight: fc.integer({ min: 0, max: 9 }) }),
        fc.constantFrom<OrderWhat>(stateOrder('drain'), stateOrder('enable'), stateOrder('disable')),
      ),
      reaches: fc.array(fc.tuple(fc.integer({ min: 0, max: 2 }), fc.boolean()), { maxLength: 4 }),
      restarts: fc.boolean(),
      sameSecond: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const members = [new Member(1), new Member(2), new Member(3)];
        const kept: Uint8Array[] = [];
        let now = 10;
        for (const { member, server, what, reaches, restarts, sameSecond } of steps) {
          if (!sameSecond) now += 3;
          const giver = members[member];
          giver.order(server, what, now);
          kept.push(...giver.book.turn(now));
          for (const [to, old] of reaches) {
            const body = old ? kept[0] : kept[kept.length - 1];
            if (body !== undefined) members[to].book.receive(body, now, EPOCH + now * 1000);
          }
          // What only it knew, and told nobody, is gone with it: so it speaks before.
          if (restarts) {
            settle(members, now);
            giver.restart();
            now += 3;
          }
        }
        settle(members, now + 50);
        const [first, ...others] = members.map(({ done }) => Object.fromEntries([...done].sort()));
        for (const other of others) expect(other).toEqual(first);
      }),
    );
  });
});

describe('what travels', () => {
  const order = fc.record({
    server: fc.string({ minLength: 1, maxLength: 63 }).filter((name) => name.length > 0),
    what: fc.oneof(
      fc.record({ weight: fc.integer({ min: 0, max: 1000 }) }),
      fc.record({
        action: fc.constantFrom('enable' as const, 'drain' as const, 'inactivate' as const),
        deadlineSeconds: fc.option(fc.integer({ min: 0, max: 100 })),
      }),
    ),
    stamp: fc.integer({ min: 0, max: 2 ** 40 }),
    by: fc.integer({ min: 1, max: 255 }),
  });

  test('comes back as it was told', () => {
    fc.assert(
      fc.property(fc.array(order, { maxLength: 60 }), (orders) => {
        const back = emitOrders(orders).flatMap((body) => readOrders(body) ?? []);
        expect(back).toEqual(orders);
      }),
    );
  });

  test('of any bytes nothing is taken that cannot be', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void readOrders(bytes)));
    const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
    const good = { s: 'a', w: 1, t: 1, b: 1 };
    for (const bad of [
      { ...good, w: 1001 },
      { ...good, w: 1.5 },
      { ...good, b: 0 },
      { ...good, b: 256 },
      { ...good, t: -1 },
      { ...good, s: '' },
      { ...good, s: 'x'.repeat(64) },
      { ...good, a: 'drain' },
      { s: 'a', a: 'explode', t: 1, b: 1 },
      { s: 'a', a: 'drain', d: -1, t: 1, b: 1 },
      { s: 'a', t: 1, b: 1 },
      null,
      7,
    ])
      expect(readOrders(encode([bad, good]))).toHaveLength(1);
    expect(readOrders(encode({}))).toBeNull();
  });
});
