import { describe, expect, test } from 'vitest';
import { ATTRIBUTE } from '../../../src/wire/radius-attributes.js';
import { numberOf } from '../../../src/wire/radius-values.js';
import { bytes, Net, pap, record, server } from '../../helpers/radius-net.js';

describe('accounting', () => {
  const statuses = (net: Net): string[] =>
    net.servers[0].records.map(
      ({ status, session }) => `${session} ${['', 'start', 'stop', 'interim'][status] ?? status}`,
    );

  test('records arrive in order, with the class of the accept and the time they waited', () => {
    const net = new Net([server()]);
    net.servers[0].alive = false;
    net.client.account(record('start', 'A', { classes: [Uint8Array.of(7)] }), 0);
    net.run(2.5);
    net.servers[0].alive = true;
    net.run(5);
    const [taken] = net.servers[0].records;
    expect(taken.delay).toBeGreaterThanOrEqual(2);
    expect(taken.attributes.find(({ type }) => type === ATTRIBUTE.class)?.value).toEqual(Uint8Array.of(7));
    expect(net.servers[0].forged).toBe(0);
    // Another delay is another packet, with an identifier of its own (RFC 2866 §5.2).
    const ids = net.sent.map(({ bytes: sent }) => sent[1]);
    expect(new Set(ids).size).toBe(ids.length);
    expect(net.client.pendingRecords).toBe(0);
  });

  test('newer interim records replace older ones that wait, and the stop makes them needless', () => {
    const net = new Net([server()], { tries: 1 });
    net.servers[0].alive = false;
    net.client.account(record('start', 'X'), 0);
    net.run(5);
    for (const seconds of [1, 2, 3]) net.client.account(record('interim', 'A', { seconds }), net.now);
    net.client.account(record('interim', 'B', { seconds: 9 }), net.now);
    net.client.account(record('stop', 'B', { seconds: 10 }), net.now);
    expect(net.client.pendingRecords).toBe(3);
    net.servers[0].alive = true;
    net.run(60);
    expect(statuses(net).sort()).toEqual(['A interim', 'B stop', 'X start']);
    const interim = net.servers[0].records.find(({ session }) => session === 'A');
    expect(
      numberOf(interim?.attributes.find(({ type }) => type === ATTRIBUTE.acctSessionTime)?.value ?? bytes('')),
    ).toBe(3);
  });

  test('a full queue loses the oldest interim record first, and says so', () => {
    const net = new Net([server()], { limits: { records: 3 }, tries: 1, deadTime: 1000 });
    net.servers[0].alive = false;
    net.client.account(record('start', 'probe'), 0);
    net.run(5);
    net.client.account(record('interim', 'A'), net.now);
    net.client.account(record('interim', 'B'), net.now);
    net.client.account(record('stop', 'C'), net.now);
    net.client.account(record('stop', 'D'), net.now);
    net.client.account(record('stop', 'E'), net.now);
    net.run(0);
    expect(net.of('record-lost').map(({ record: { session }, reason }) => [session.sessionId, reason])).toEqual([
      ['A', 'queue-full'],
      ['B', 'queue-full'],
      ['C', 'queue-full'],
    ]);
    expect(net.client.pendingRecords).toBe(3);
    expect(net.client.counters.recordsLost).toBe(3);
  });

  test('a record is given up after its lifetime', () => {
    const net = new Net([server()], { recordLifetime: 100, deadTime: 10 });
    net.servers[0].alive = false;
    net.client.account(record('start', 'A'), 0);
    net.run(300);
    expect(net.of('record-lost')).toMatchObject([{ reason: 'lifetime' }]);
    expect(net.client.pendingRecords).toBe(0);
    expect(net.client.nextTime).toBe(Number.POSITIVE_INFINITY);
  });

  test('a second server takes what the first does not', () => {
    const net = new Net([server(), server()]);
    net.servers[0].alive = false;
    for (let i = 0; i < 50; i++) net.client.account(record('start', `S${i}`), 0);
    net.run(20);
    expect(net.servers[1].records.map(({ session }) => session).sort()).toEqual(
      Array.from({ length: 50 }, (_, i) => `S${i}`).sort(),
    );
    expect(net.client.pendingRecords).toBe(0);
  });

  test('bytes and packets beyond 2^32', () => {
    const net = new Net([server()]);
    const traffic = { packetsIn: 2 ** 32 + 1, packetsOut: 2, bytesIn: 3 * 2 ** 32 + 4, bytesOut: 2 ** 53 - 1 };
    net.client.account(record('stop', 'A', { traffic, cause: 'sessionTimeout' }), 0);
    net.run(1);
    const value = (type: number) => {
      const found = net.servers[0].records[0].attributes.find((one) => one.type === type);
      return numberOf(found?.value ?? bytes(''));
    };
    expect([value(ATTRIBUTE.acctInputGigawords), value(ATTRIBUTE.acctInputOctets)]).toEqual([3, 4]);
    expect([value(ATTRIBUTE.acctOutputGigawords), value(ATTRIBUTE.acctOutputOctets)]).toEqual([
      2 ** 21 - 1,
      2 ** 32 - 1,
    ]);
    expect([value(ATTRIBUTE.acctInputPackets), value(ATTRIBUTE.acctTerminateCause)]).toEqual([1, 5]);
  });
});

test('over a network that loses a third of all datagrams, every request ends once and every record arrives', () => {
  for (let seed = 1; seed <= 6; seed++) {
    const net = new Net([server(), server()], { firstWait: 0.5, tries: 4, deadTime: 5 }, 0.33, seed);
    const wanted = new Set<string>();
    for (let i = 0; i < 200; i++) {
      net.client.access(pap('alice', i % 3 === 0 ? 'wrong' : 'p'), net.now);
      for (const status of ['start', 'stop'] as const) {
        net.client.account(record(status, `S${i}`), net.now);
        wanted.add(`S${i} ${status}`);
      }
      // The first server is away for a while in the middle.
      net.servers[0].alive = i < 60 || i > 120;
      net.run(0.1);
    }
    net.run(200);
    const ended = net.events.filter((event) => 'token' in event);
    expect(ended.map(({ token }) => token).sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
    for (const { token } of net.of('accepted')) expect((token - 1) % 3).not.toBe(0);
    for (const { token } of net.of('rejected')) expect((token - 1) % 3).toBe(0);
    expect(net.of('no-answer').length).toBeLessThan(20);
    const taken = net.servers.flatMap(({ records }) =>
      records.map(({ status, session }) => `${session} ${status === 1 ? 'start' : 'stop'}`),
    );
    expect(new Set(taken)).toEqual(wanted);
    expect(net.client.pendingRecords).toBe(0);
    expect(net.client.nextTime).toBe(Number.POSITIVE_INFINITY);
    expect(net.servers.map(({ forged: bad }) => bad)).toEqual([0, 0]);
  }
});
