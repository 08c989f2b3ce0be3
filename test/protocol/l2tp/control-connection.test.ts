/** The engine in virtual time, against a peer that knows RFC 2661 §5.8 by itself, over ways that lose, repeat and disorder. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ControlConnection, type ControlOutcome } from '../../../src/protocol/l2tp/control-connection.js';
import { ReliableDelivery } from '../../../src/protocol/l2tp/reliable-delivery.js';
import { buildMessage, readMessage, type L2tpMessage } from '../../../src/tunnels/l2tp/message.js';
import { hello, sccrp, stopccn, viewOf, zlb } from '../../helpers/packet-builder.js';

const read = (bytes: Uint8Array): L2tpMessage => {
  const message = readMessage(viewOf(bytes), 0, bytes.length);
  if (typeof message === 'number') throw new Error(`malformed: ${message}`);
  return message;
};
const names = (out: readonly Uint8Array[]): string[] => out.map((bytes) => read(bytes).name);
const newConnection = (): ControlConnection => new ControlConnection({ localId: 77, hostName: 'probe' });
const asked = (): ControlConnection => {
  const connection = newConnection();
  connection.open();
  expect(names(connection.output(0))).toEqual(['SCCRQ']);
  return connection;
};

describe('an initiator', () => {
  test('asks with what RFC 2661 §6.1 wants, and again after 1, 2, 4, 8 and 8 seconds; then it gives up', () => {
    const connection = newConnection();
    connection.open();
    const first = read(connection.output(0)[0]);
    expect(first).toMatchObject({ name: 'SCCRQ', tunnel: 0, session: 0, ns: 0, nr: 0 });
    expect(first.avps.map(({ type }) => type)).toEqual([0, 2, 3, 7, 9, 10]);
    const sent: number[] = [];
    while (connection.state === 'wait-reply') {
      const now = connection.nextTime;
      if (connection.output(now).length > 0) sent.push(now);
    }
    expect(sent).toEqual([1, 3, 7, 15, 23]);
    expect(connection.outcomes()).toEqual([{ type: 'closed', by: 'silence', result: 0, error: 0 }]);
    expect(connection.output(1000)).toEqual([]);
  });

  test('connects when it is answered', () => {
    const connection = asked();
    connection.receive(sccrp({ tunnel: 77, assigned: 5 }), 0.1);
    expect(connection.outcomes()).toMatchObject([{ type: 'replied' }]);
    connection.connect();
    expect(read(connection.output(0.1)[0])).toMatchObject({ name: 'SCCCN', tunnel: 5, ns: 1, nr: 1 });
    expect(connection.outcomes()).toEqual([{ type: 'established' }]);
    connection.receive(hello({ tunnel: 77, ns: 1, nr: 2 }), 1);
    expect(connection.nextTime).toBeCloseTo(1.05);
    expect(read(connection.output(1.05)[0])).toMatchObject({ name: 'ZLB', tunnel: 5, ns: 2, nr: 2 });
    expect(connection.nextTime).toBe(Number.POSITIVE_INFINITY);
  });

  test('leaves when it is answered: SCCRQ, SCCRP, StopCCN', () => {
    const connection = asked();
    connection.receive(sccrp({ tunnel: 77, assigned: 5 }), 0.1);
    connection.stop();
    const stop = read(connection.output(0.1)[0]);
    expect(stop).toMatchObject({ name: 'StopCCN', tunnel: 5, ns: 1, nr: 1 });
    expect(connection.state).toBe('closing');
    connection.receive(zlb({ tunnel: 77, ns: 1, nr: 2 }), 0.2);
    expect(connection.state).toBe('closed');
    expect(connection.outcomes().at(-1)).toEqual({ type: 'closed', by: 'us', result: 0, error: 0 });
  });

  test('is refused: the codes are told, the refusal is acknowledged, and once more when it comes again', () => {
    const connection = asked();
    connection.receive(stopccn({ tunnel: 77, assigned: 9, result: 4, nr: 1 }), 0.1);
    expect(connection.outcomes()).toEqual([{ type: 'closed', by: 'peer', result: 4, error: 0 }]);
    expect(names(connection.output(0.2))).toEqual(['ZLB']);
    connection.receive(stopccn({ tunnel: 77, assigned: 9, result: 4, nr: 1 }), 1.1);
    expect(names(connection.output(1.1))).toEqual(['ZLB']);
    expect(connection.outcomes()).toEqual([]);
  });

  test('an answer without an id is an error, one for somebody else is not heard', () => {
    const connection = asked();
    expect(connection.receive(sccrp({ tunnel: 78, assigned: 5 }), 0.1)).toBe(false);
    expect(connection.receive(new Uint8Array([1, 2, 3]), 0.1)).toBe(false);
    const bare = sccrp({ tunnel: 77, assigned: 5 });
    viewOf(bare).setUint16(bare.length - 8 - 2, 0);
    connection.receive(bare, 0.1);
    expect(connection.state).toBe('closing');
  });

  test('ends before it has begun', () => {
    const connection = newConnection();
    connection.stop();
    expect([connection.state, connection.output(0)]).toEqual(['closed', []]);
  });
});

const control = (type: number): Uint8Array => buildMessage({ type });
const sent = (delivery: ReliableDelivery, now: number): L2tpMessage[] => {
  const out: Uint8Array[] = [];
  delivery.output(now, 5, out);
  return out.map(read);
};

describe('reliable delivery', () => {
  test('never sends more than the window, which grows with every acknowledgement and falls with a loss', () => {
    const delivery = new ReliableDelivery();
    delivery.setPeerWindow(8);
    for (let n = 0; n < 40; n++) expect(delivery.send(control(6))).toBe(true);
    const sizes: number[] = [];
    for (let round = 0, now = 0; round < 4; round++, now += 0.1) {
      sizes.push(sent(delivery, now).length);
      delivery.receive(0, delivery.ns, false, now);
    }
    expect(sizes).toEqual([1, 2, 4, 8]);
    sent(delivery, 1);
    expect(sent(delivery, 2.5).length).toBeGreaterThan(0);
    delivery.receive(0, delivery.ns, false, 2.6);
    expect(sent(delivery, 2.7).length).toBeLessThan(8);
  });

  test('takes no more than its queue holds, and no acknowledgement of what was never sent', () => {
    const delivery = new ReliableDelivery({ queueLimit: 2 });
    expect([1, 2, 3].map(() => delivery.send(control(6)))).toEqual([true, true, false]);
    sent(delivery, 0);
    delivery.receive(0, 9, false, 0);
    expect(delivery.idle).toBe(false);
  });

  test('everything arrives once and in order, over ways that lose, repeat and delay, and across the wrap of numbers', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 60 }),
        fc.infiniteStream(fc.integer({ min: 0, max: 99 })),
        (fromA, fromB, dice) => {
          const ends = [new ReliableDelivery({ tries: 40 }), new ReliableDelivery({ tries: 40 })];
          const heard: number[][] = [[], []];
          [fromA, fromB].forEach((count, end) => {
            for (let n = 0; n < count; n++) ends[end].send(control(n));
          });
          const way: { to: number; at: number; ns: number; nr: number; type: number }[] = [];
          const roll = (): number => dice.next().value as number;
          for (let now = 0; now < 3000 && !(ends[0].idle && ends[1].idle); now += 0.25) {
            for (const [from, end] of ends.entries()) {
              for (const { ns, nr, type } of sent(end, now)) {
                const chance = roll();
                if (chance < 20) continue;
                for (let copies = chance < 30 ? 2 : 1; copies > 0; copies--)
                  way.push({ to: 1 - from, at: now + (roll() % 4) * 0.25, ns, nr, type });
              }
            }
            for (const packet of way.splice(0)) {
              if (packet.at > now) way.push(packet);
              else if (ends[packet.to].receive(packet.ns, packet.nr, packet.type >= 0, now) === 'new')
                heard[packet.to].push(packet.type);
            }
          }
          expect(heard[1]).toEqual(Array.from({ length: fromA }, (_, n) => n));
          expect(heard[0]).toEqual(Array.from({ length: fromB }, (_, n) => n));
        },
      ),
      { numRuns: 60 },
    );
  });

  test('no bytes of a peer throw, or make the engine say more than one thing', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 8 }), (packets) => {
        const connection = asked();
        const outcomes: ControlOutcome[] = [];
        packets.forEach((bytes, n) => {
          if (bytes.length >= 6) bytes.set([0xc8, 2, 0, bytes.length, 0, 77]);
          connection.receive(bytes, n);
          expect(connection.output(n).length).toBeLessThanOrEqual(2);
          outcomes.push(...connection.outcomes());
        });
        expect(outcomes.filter(({ type }) => type === 'closed').length).toBeLessThanOrEqual(1);
      }),
      { numRuns: 300 },
    );
  });
});
