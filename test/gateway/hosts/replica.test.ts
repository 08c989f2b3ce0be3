import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeChanges, encodeOffer, encodeRecord, readHostsBody } from '../../../src/wire/gateway-hosts.js';
import { addressOf, ask, asked, macOf, Net, tableOf, views } from './fixture.js';

const same = (net: Net): boolean => new Set(net.tables()).size === 1;
const forwardersOf = (net: Net, number: number): Map<number, number> =>
  new Map(
    net
      .member(number)
      .rows(net.now)
      .map(({ mac, forwarder }) => [mac, forwarder]),
  );

describe('replication', () => {
  test('a change is with every member before the reply can be', () => {
    const net = new Net(4, 1);
    net.elect(1);
    const forwarder = net.member(1).choose(macOf(0), asked(0), net.now);
    const sent = net.member(1).messages(net.now);
    expect(sent.map(({ to }) => to)).toEqual([0]);
    net.member(2).receive(1, sent[0].body, net.now);
    expect(net.member(2).forwarderOf(macOf(0))).toBe(forwarder);
  });

  test('16 members, 2,000 hosts: less than 250 kB in all, and adverts that carry little', () => {
    const net = new Net(16, 2);
    net.elect(1);
    for (let i = 0; i < 2000; i++) {
      net.member(1).choose(macOf(i), asked(i), net.now);
      if (i % 20 === 19) net.run(0.01);
    }
    net.run(0.5);
    expect(same(net)).toBe(true);
    const steady = net.bytes;
    expect(steady).toBeLessThan(250_000);
    net.run(10);
    expect((net.bytes - steady) / 10).toBeLessThan(16 * 10 * 30);
    expect(net.member(5).counters().tableRequestsSent).toBe(0);
  });

  test('a member that comes later gets the whole table, in parts', () => {
    const net = new Net(3, 3);
    net.hears = (from, to) => from !== 3 && to !== 3;
    net.elect(1, [1, 2]);
    ask(net.member(1), 2000, net.now);
    net.run(1);
    expect(net.member(3).size).toBe(0);
    net.hears = () => true;
    net.elect(1, [3]);
    const before = net.bytes;
    net.run(0.3);
    expect(same(net)).toBe(true);
    expect(net.bytes - before).toBeLessThan(80_000);
    expect(net.member(3).events()).toEqual([{ kind: 'table-received', from: 1, hosts: 2000 }]);
  });

  test('65,536 hosts: the transfer is paced by the asker, and ends', () => {
    const net = new Net(2, 4, { hostLimit: 65_536 });
    net.hears = () => false;
    net.elect(1);
    ask(net.member(1), 65_536, net.now);
    net.flush();
    net.hears = () => true;
    net.run(2);
    expect(net.member(2).size).toBe(65_536);
    expect(net.member(2).position()).toEqual(net.member(1).position());
    expect(net.member(1).counters().tableRequestsAnswered).toBeGreaterThan(10);
  }, 20_000);

  test('one host that differs costs one bucket, not the table', () => {
    const net = new Net(2, 5);
    net.elect(1);
    ask(net.member(1), 2000, net.now);
    net.run(0.5);
    net.hears = () => false;
    net.member(1).choose(macOf(5000), asked(5000), net.now);
    net.run(1);
    net.hears = () => true;
    const before = net.bytes;
    net.run(0.3);
    expect(same(net)).toBe(true);
    expect(net.bytes - before).toBeLessThan(4000);
  });

  test('changes in any order, some of them lost: tables become equal', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 2, max: 6 }), (seed, count) => {
        const net = new Net(count, seed);
        net.loss = 0.2;
        net.jitter = 0.03;
        net.elect(1);
        for (let round = 0; round < 40; round++) {
          for (let i = 0; i < 5; i++)
            net.member(1).choose(macOf((round * 7 + i) % 60), asked((round * 3 + i) % 90), net.now);
          if (round === 20) net.member(1).move(null, 2, net.now);
          net.member(1).moves(net.now);
          net.flush();
          net.run(0.02);
        }
        net.loss = 0.05;
        net.run(3);
        expect(same(net)).toBe(true);
        for (const hosts of net.members) expect(hosts.recomputedDigest()).toEqual(hosts.position().digest);
      }),
      { numRuns: 15 },
    );
  });

  test('what was lost once comes again with the next advert, without a request', () => {
    const net = new Net(2, 7);
    net.elect(1);
    net.hears = () => false;
    net.member(1).choose(macOf(0), asked(0), net.now);
    net.run(0.006);
    net.hears = () => true;
    net.run(0.15);
    expect(same(net)).toBe(true);
    expect(net.member(2).counters().tableRequestsSent).toBe(0);
  });
});

describe('a successor', () => {
  test('has the whole table, nothing is re-chosen, and no table is sent again', () => {
    const net = new Net(4, 11);
    net.elect(1);
    ask(net.member(1), 1000, net.now);
    net.run(0.5);
    const before = forwardersOf(net, 3);
    net.hears = (from, to) => from !== 1 && to !== 1;
    net.elect(2, [2, 3, 4]);
    expect(net.member(2).settling(net.now)).toBe(false);
    for (const [mac, forwarder] of before)
      expect(net.member(2).choose(mac, { address: null, turn: true }, net.now)).toBe(forwarder);
    net.run(0.5);
    expect(forwardersOf(net, 4)).toEqual(before);
    expect([3, 4].map((n) => net.member(n).counters().tableRequestsSent)).toEqual([0, 0]);
    expect(net.member(4).position()).toEqual(net.member(2).position());
  });

  test('that missed the last changes fetches them from the member that is furthest', () => {
    const net = new Net(4, 12);
    net.elect(1);
    ask(net.member(1), 100, net.now);
    net.run(0.5);
    // The master's last words reach gateway 4 only.
    net.hears = (from, to) => from !== 1 || to === 4;
    for (let i = 100; i < 110; i++) net.member(1).choose(macOf(i), asked(i), net.now);
    net.flush();
    net.hears = (from, to) => (from !== 1 || to === 4) && to !== 1;
    net.run(0.02);
    net.hears = (from, to) => from !== 1 && to !== 1;
    net.run(0.15);
    const last = forwardersOf(net, 4);
    expect([last.size, net.member(2).size]).toEqual([110, 100]);
    net.elect(2, [2, 3, 4]);
    expect(net.member(2).settling(net.now)).toBe(true);
    net.run(0.02, 0.001);
    expect(net.member(2).settling(net.now)).toBe(false);
    expect(forwardersOf(net, 2)).toEqual(last);
    net.run(0.5);
    expect(forwardersOf(net, 3)).toEqual(last);
  });

  test('that knows nothing takes nothing away: others keep what they know until it has it', () => {
    const net = new Net(3, 16);
    net.hears = (from, to) => from !== 3 && to !== 3;
    net.elect(1, [1, 2]);
    ask(net.member(1), 100, net.now);
    net.run(0.3);
    // 3 is heard, but does not hear yet what it is told.
    net.hears = (from, to) =>
      from !== 1 && to !== 1 && (to !== 3 || net.member(3).counters().tableRequestsAnswered === 0);
    net.elect(3, [2, 3]);
    net.run(0.4);
    expect(net.member(2).counters().tablePartsReceived).toBe(1);
    expect(net.member(2).size).toBe(100);
    net.hears = (from, to) => from !== 1 && to !== 1;
    net.run(1);
    expect([net.member(2).size, net.member(3).size]).toEqual([100, 100]);
    expect(net.member(2).position()).toEqual(net.member(3).position());
  });

  test('does not wait for a member that does not answer', () => {
    const net = new Net(3, 13);
    net.elect(1);
    net.run(0.2);
    net.hears = (from, to) => from !== 1 || to === 3;
    ask(net.member(1), 5, net.now);
    net.run(0.15);
    net.hears = () => false;
    net.elect(2, [2, 3]);
    expect(net.member(2).settling(net.now)).toBe(true);
    net.run(0.06);
    expect(net.member(2).settling(net.now)).toBe(false);
    expect(net.member(2).nextTime).toBeGreaterThan(net.now);
  });

  test('goes on with the turns where the master before stopped', () => {
    for (const algorithm of ['round-robin', 'weighted'] as const) {
      const net = new Net(4, 14, { algorithm });
      net.elect(1);
      ask(net.member(1), 6, net.now);
      net.run(0.2);
      net.elect(2);
      const next = [6, 7].map((i) => net.member(2).choose(macOf(i), asked(i), net.now));
      expect(next).toEqual([3, 4]);
    }
  });

  test('begins the returns that the master before had begun', () => {
    const net = new Net(3, 15, { returnsPerSecond: 10 });
    net.elect(1);
    ask(net.member(1), 90, net.now);
    const dead = views(100, 100, 100).map((view) =>
      view.number === 3 ? { ...view, server: 1, givenOut: false } : view,
    );
    for (const hosts of net.members) hosts.setForwarders(dead, net.now);
    net.member(1).redistribute(3, net.now);
    for (let i = 0; i < 100; i++) {
      net.member(1).moves(net.now);
      net.run(0.01);
    }
    expect(net.member(2).countOf(3)).toBe(0);
    for (const hosts of net.members) hosts.setForwarders(views(100, 100, 100), net.now);
    net.elect(2);
    for (let i = 0; i < 50; i++) {
      net.member(2).moves(net.now);
      net.run(0.1);
    }
    expect(net.member(2).countOf(3)).toBe(30);
  });
});

describe('after a partition', () => {
  test('both halves had a master: the younger choice counts, host by host, and all tables are equal', () => {
    const net = new Net(4, 21);
    net.elect(1);
    ask(net.member(1), 100, net.now);
    net.run(0.5);
    const side = (n: number): boolean => n <= 2;
    net.hears = (from, to) => side(from) === side(to);
    net.elect(3, [3, 4]);
    net.run(1);
    // New hosts on both sides; host 5 is moved on the side of 3, host 6 on the side of 1.
    for (let i = 100; i < 120; i++) net.member(1).choose(macOf(i), asked(i), net.now);
    for (let i = 120; i < 140; i++) net.member(3).choose(macOf(i), asked(i), net.now);
    const to5 = 1 + (net.member(3).forwarderOf(macOf(5)) % 4);
    const to6 = 1 + (net.member(1).forwarderOf(macOf(6)) % 4);
    net.member(3).move(macOf(5), to5, net.now);
    net.member(1).move(macOf(6), to6, net.now);
    net.member(3).moves(net.now);
    net.member(1).moves(net.now);
    net.run(1);
    net.hears = () => true;
    net.elect(1);
    net.run(1);
    expect(same(net)).toBe(true);
    expect(net.member(2).size).toBe(140);
    expect(net.member(4).forwarderOf(macOf(5))).toBe(to5);
    expect(net.member(4).forwarderOf(macOf(6))).toBe(to6);
    expect(net.member(1).counters().merged).toBe(21);
  });

  test('any history of masters and partitions ends in one table', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.array(fc.tuple(fc.nat(7), fc.nat(3), fc.nat(15)), { maxLength: 12 }),
        (seed, history) => {
          const net = new Net(4, seed);
          net.loss = 0.1;
          net.jitter = 0.01;
          net.elect(1);
          let next = 0;
          for (const [kind, member, cut] of history) {
            if (kind < 3) {
              net.hears = (from, to) => ((cut >> (from - 1)) & 1) === ((cut >> (to - 1)) & 1);
              for (const half of [0, 1]) {
                const among = [1, 2, 3, 4].filter((n) => ((cut >> (n - 1)) & 1) === half);
                if (among.length > 0) net.elect(among[member % among.length], among);
              }
            } else if (kind < 5) {
              net.hears = () => true;
              net.elect(member + 1);
            }
            for (const hosts of net.members) {
              for (let i = 0; i < 4; i++) hosts.choose(macOf(next % 80), asked(next++ % 120), net.now);
              hosts.moves(net.now);
            }
            net.run(0.2);
          }
          net.hears = () => true;
          net.loss = 0;
          net.elect(2);
          net.run(2.5);
          expect(same(net)).toBe(true);
          expect(new Set(net.members.map((hosts) => String(Object.values(hosts.position())))).size).toBe(1);
        },
      ),
      { numRuns: 25 },
    );
  });

  test('terms only rise: what an earlier master still says changes nothing', () => {
    const net = new Net(3, 23);
    net.elect(1);
    ask(net.member(1), 10, net.now);
    const late = net
      .member(1)
      .messages(net.now)
      .map(({ body }) => body);
    for (const body of late) for (const n of [2, 3]) net.member(n).receive(1, body, net.now);
    net.elect(2);
    net.member(2).move(macOf(0), 3, net.now);
    net.member(2).moves(net.now);
    net.run(0.3);
    const before = tableOf(net.member(3));
    for (const body of late) net.member(3).receive(1, body, net.now);
    for (const body of late) net.member(3).receive(2, body, net.now);
    expect(tableOf(net.member(3))).toBe(before);
    expect(net.member(3).counters().changesUnexpected).toBe(2 * late.length);
    expect(net.member(2).position().term).toBeGreaterThan(256);
  });
});

describe('what does not fit', () => {
  const change = (host: number, term: number, version: number) =>
    encodeChanges({ term, version, digest: [1, 2], count: 9 }, [
      encodeRecord(
        {
          mac: macOf(host),
          forwarder: 2,
          home: 0,
          confirmed: false,
          gone: false,
          addresses: [addressOf(host)],
          age: 0,
        },
        false,
      ),
    ]);

  test('a member that claims the last of all terms breaks nothing', () => {
    const net = new Net(3, 35);
    net.elect(1);
    net.member(1).heard(3, { term: 0xffffffff, version: 0xffffffff, digest: [0, 0], count: 0 }, 0);
    net.member(1).heard(3, { term: 0xffffffff, version: 0xffffffff, digest: [0, 0], count: 0 }, 0);
    ask(net.member(1), 10, 0);
    net.run(0.5);
    expect(net.member(1).position().term).toBe(0xffffff01);
    expect(tableOf(net.member(2))).toBe(tableOf(net.member(1)));
  });

  test('malformed bodies are counted', () => {
    const net = new Net(2, 31);
    net.elect(1);
    for (const body of [new Uint8Array(0), Uint8Array.of(1), Uint8Array.of(200, 1, 2)])
      net.member(2).receive(1, body, 0);
    expect(net.member(2).counters().messagesMalformed).toBe(3);
  });

  test('changes of a member that is not the master are refused, as are offers to one that is not', () => {
    const net = new Net(3, 32);
    net.elect(1);
    net.member(2).receive(3, change(0, 0x103, 0), 0);
    net
      .member(2)
      .receive(
        3,
        encodeOffer([
          encodeRecord({ mac: 2, forwarder: 1, home: 0, confirmed: false, gone: false, addresses: [], age: 0 }, true),
        ]),
        0,
      );
    expect(net.member(2).size).toBe(0);
    expect(net.member(2).counters().changesUnexpected).toBe(1);
  });

  test('no more changes wait for those before them than there is room for', () => {
    const net = new Net(2, 33);
    net.elect(1);
    for (let i = 0; i < 5000; i++) net.member(2).receive(1, change(i, 0x201, 10 + 2 * i), 0);
    expect(net.member(2).counters().pendingDropped).toBe(5000 - 4096);
    expect(net.member(2).size).toBe(0);
  });

  test('any bytes from the master leave a table that its next words repair', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 20 }),
        fc.nat(3),
        (bodies, kind) => {
          const net = new Net(2, 34);
          net.elect(1);
          ask(net.member(1), 20, 0);
          net.run(0.2);
          for (const body of bodies) {
            body[0] = 1 + kind;
            expect(() => net.member(2).receive(1, body, net.now)).not.toThrow();
            readHostsBody(body);
          }
          net.member(1).choose(macOf(50), asked(50), net.now);
          net.run(1);
          expect(same(net)).toBe(true);
        },
      ),
      { numRuns: 40 },
    );
  });
});
