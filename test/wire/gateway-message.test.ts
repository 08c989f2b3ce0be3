import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AddressWords } from '../../src/wire/address.js';
import {
  ADVERT_STATES,
  type Advert,
  advertRoom,
  emitAdvertBody,
  readAdvertBody,
} from '../../src/wire/gateway-advert.js';
import {
  emitGatewayMessage,
  GATEWAY_BODY_LIMIT,
  GATEWAY_MESSAGE_TYPES,
  type GatewayHeader,
  readGatewayHeader,
} from '../../src/wire/gateway-message.js';
import {
  emitFrameBodies,
  emitOrder,
  emitTellBodies,
  ORDER_KINDS,
  readFrameBody,
  readOrder,
  readTellBody,
} from '../../src/wire/gateway-orders.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';

const HEADER: GatewayHeader = {
  type: 'hosts',
  group: 0x1234,
  sender: 9,
  target: 200,
  incarnation: 0xfedcba987654,
  sequence: 0x010203040506,
};

const word = fc.integer({ min: 0, max: 0xffffffff });
const byte = fc.integer({ min: 0, max: 255 });
const wide = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const address: fc.Arbitrary<AddressWords> = fc.tuple(word, word, word, fc.integer({ min: 1, max: 0xffffffff }));
const advert: fc.Arbitrary<Advert> = fc.record({
  state: fc.constantFrom(...ADVERT_STATES),
  able: fc.boolean(),
  priority: byte,
  master: byte,
  interval: fc.integer({ min: 20, max: 10_000 }).map((ms) => ms / 1000),
  weight: fc.integer({ min: 0, max: 0xffff }),
  load: fc.integer({ min: 0, max: 0xffff }).map((share) => share / 0xffff),
  bitsPerSecond: word.map((kilobits) => kilobits * 1000),
  packetsPerSecond: word,
  settings: word,
  position: fc.record({ term: word, version: word, digest: fc.tuple(word, word), count: word }),
  mac: wide,
  address: fc.option(address),
  heard: fc.array(
    fc.record({
      number: byte,
      age: fc.integer({ min: 0, max: 65_535 }).map((ms) => ms / 1000),
      incarnation: wide,
      sequence: wide,
    }),
    { maxLength: 30 },
  ),
  forwarders: fc.array(
    fc.record({
      number: fc.integer({ min: 1, max: 255 }),
      server: byte,
      givenOut: fc.boolean(),
      permanent: fc.boolean(),
      away: fc.integer({ min: 0, max: 65_535 }),
    }),
    { maxLength: 30 },
  ),
  recent: fc.uint8Array({ maxLength: 200 }),
  reasons: fc.constantFrom([], ['interface eth1 is down'], ['route 0.0.0.0/0 is missing', 'load is 90 %']),
});

describe('header of a message', () => {
  test.each(GATEWAY_MESSAGE_TYPES)('%s is read as it was written', (type) => {
    const frame = emitGatewayMessage({ ...HEADER, type }, Uint8Array.of(1, 2, 3));
    expect(readGatewayHeader(frame)).toEqual({ header: { ...HEADER, type }, end: 14 + 24 + 3 });
  });

  test.each([
    ['magic', 14, 'malformed'],
    ['version', 16, 'version'],
    ['type', 17, 'malformed'],
    ['length', 34, 'malformed'],
    ['reserved', 36, 'malformed'],
  ] as const)('another %s', (_, at, fault) => {
    const frame = emitGatewayMessage(HEADER, Uint8Array.of(1, 2, 3));
    frame[at] = 0xff;
    expect(readGatewayHeader(frame)).toBe(fault);
  });

  test('nobody has number 0', () => {
    expect(readGatewayHeader(emitGatewayMessage({ ...HEADER, sender: 0 }, new Uint8Array(0)))).toBe('malformed');
  });

  test('a frame that is cut off anywhere is none; padding does no harm', () => {
    const frame = emitGatewayMessage(HEADER, new Uint8Array(8));
    for (let length = 0; length < frame.length; length++)
      expect(readGatewayHeader(frame.subarray(0, length))).toBe('malformed');
    const padded = new Uint8Array(frame.length + 20);
    padded.set(frame);
    expect(readGatewayHeader(padded)).toEqual(readGatewayHeader(frame));
  });

  test('any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const frame = Uint8Array.from(bytes);
        frame.set([0x54, 0x47, 1].slice(0, Math.max(0, frame.length - 14)), Math.min(14, frame.length));
        const read = readGatewayHeader(frame);
        if (typeof read !== 'string') expect(read.end).toBeLessThanOrEqual(frame.length - 16);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});

describe('body of an advert', () => {
  test('is read as it was written', () => {
    fc.assert(
      fc.property(advert, (one) => {
        expect(readAdvertBody(emitAdvertBody(one))).toEqual(one);
      }),
      { numRuns: FUZZ_RUNS / 5 },
    );
  });

  test('cut off anywhere it is none', () => {
    fc.assert(
      fc.property(advert, fc.nat(), (one, at) => {
        const body = emitAdvertBody(one);
        expect(readAdvertBody(body.subarray(0, at % body.length))).toBeNull();
      }),
      { numRuns: FUZZ_RUNS / 5 },
    );
  });

  test('any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        const read = readAdvertBody(bytes);
        if (read !== null) expect(read.interval).toBeGreaterThanOrEqual(0.01);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });

  test('an age is never told shorter than it is, and one that is too long for its field stays long', () => {
    const [one] = fc.sample(advert, 1);
    const heard = [0.0001, 70].map((age) => ({ number: 1, age, incarnation: 1, sequence: 1 }));
    expect(readAdvertBody(emitAdvertBody({ ...one, heard }))?.heard.map(({ age }) => age)).toEqual([0.001, 65.535]);
  });

  test('control characters in reasons do not reach a terminal', () => {
    const [one] = fc.sample(advert, 1);
    const reasons = ['eth1\u001b[2J is \u0000 down', 'b'];
    expect(readAdvertBody(emitAdvertBody({ ...one, reasons }))?.reasons).toEqual(['eth1?[2J is ? down', 'b']);
  });

  test.each([0, 500, 1000])('what the room for %i bytes of changes allows fits into a frame', (recent) => {
    const [one] = fc.sample(advert, 1);
    const room = advertRoom(recent);
    const body = emitAdvertBody({
      ...one,
      recent: new Uint8Array(recent),
      heard: Array.from({ length: room.heard }, () => ({ number: 1, age: 0, incarnation: 1, sequence: 1 })),
      forwarders: Array.from({ length: room.forwarders }, () => ({
        number: 1,
        server: 1,
        givenOut: true,
        permanent: false,
        away: 0,
      })),
      reasons: ['x'.repeat(500)],
    });
    expect(body.length).toBeLessThanOrEqual(GATEWAY_BODY_LIMIT);
    expect(room.heard).toBeGreaterThan(10);
    expect(readAdvertBody(body)?.heard).toHaveLength(room.heard);
  });
});

describe('small bodies', () => {
  test('frames, in as many bodies as they need', () => {
    const frames = Array.from({ length: 100 }, (_, i) => new Uint8Array(42 + i).fill(i));
    const bodies = emitFrameBodies(frames, GATEWAY_BODY_LIMIT);
    expect(bodies.length).toBeGreaterThan(1);
    expect(bodies.every(({ length }) => length <= GATEWAY_BODY_LIMIT)).toBe(true);
    expect(bodies.flatMap((body) => readFrameBody(body) ?? [])).toEqual(frames);
    expect(emitFrameBodies([new Uint8Array(2000)], GATEWAY_BODY_LIMIT)).toEqual([]);
  });

  test('tells', () => {
    const entries = Array.from({ length: 200 }, (_, i) => ({
      forwarder: 1 + (i % 255),
      host: 0x020000000000 + i,
      addresses: Array.from({ length: i % 3 }, (_, j): AddressWords => [0, 0, 0xffff, i * 4 + j]),
    }));
    const bodies = emitTellBodies(entries, GATEWAY_BODY_LIMIT);
    expect(bodies.flatMap((body) => readTellBody(body) ?? [])).toEqual(entries);
  });

  test.each(ORDER_KINDS)('order %s', (kind) => {
    for (const host of [null, 0x020000000001])
      expect(readOrder(emitOrder({ kind, number: 3, host }))).toEqual({ kind, number: 3, host });
  });

  test('any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        expect(readFrameBody(bytes)?.reduce((sum, { length }) => sum + length + 2, 0) ?? bytes.length).toBe(
          bytes.length,
        );
        for (const { forwarder } of readTellBody(bytes) ?? []) expect(forwarder).toBeGreaterThan(0);
        if (bytes.length !== 8) expect(readOrder(bytes)).toBeNull();
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});
