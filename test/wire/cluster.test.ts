/** Frames of a cluster: what is written is read, and nothing else is. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  CLUSTER_BODY_LIMIT,
  CLUSTER_FRAME_LIMIT,
  CLUSTER_SUBJECTS,
  emitClusterFrame,
  readClusterHeader,
} from '../../src/wire/cluster-bus.js';
import { PLANE_WORDS, type TunnelCounters } from '../../src/wire/cluster-record.js';
import {
  COUNTERS_LENGTH,
  FREED,
  STATE_HEADER_LENGTH,
  STATE_KIND,
  StateFrameReader,
  StateFrameWriter,
} from '../../src/wire/cluster-state.js';
import { emitClusterStatus, readClusterStatus } from '../../src/wire/cluster-status.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';

const word48 = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const bytes = fc.uint8Array({ maxLength: 1500 });

describe('bus frames', () => {
  const header = fc.record({
    subject: fc.constantFrom(...CLUSTER_SUBJECTS),
    cluster: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    sender: fc.integer({ min: 1, max: 255 }),
    target: fc.integer({ min: 0, max: 255 }),
    incarnation: word48,
    sequence: word48,
  });

  test('every header and body comes back', () => {
    fc.assert(
      fc.property(header, fc.uint8Array({ maxLength: CLUSTER_BODY_LIMIT }), fc.boolean(), (given, body, sealed) => {
        const frame = emitClusterFrame(given, body, sealed);
        expect(frame.length).toBeLessThanOrEqual(CLUSTER_FRAME_LIMIT);
        const read = readClusterHeader(frame, sealed);
        expect(read).toEqual({ header: given, end: 24 + body.length });
        expect(frame.subarray(24, 24 + body.length)).toEqual(body);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });

  test('a body that is too long is the caller’s error', () => {
    const given = { subject: 'state', cluster: 0, sender: 1, target: 0, incarnation: 1, sequence: 1 } as const;
    expect(() => emitClusterFrame(given, new Uint8Array(CLUSTER_BODY_LIMIT + 1), true)).toThrow(RangeError);
  });

  test('any bytes are read or refused', () => {
    fc.assert(
      fc.property(bytes, fc.boolean(), (frame, sealed) => {
        if (frame.length > 2) frame.set([0x54, 0x43, 1]);
        const read = readClusterHeader(frame, sealed);
        if (typeof read !== 'string') expect(read.end + (sealed ? 16 : 0)).toBe(frame.length);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});

describe('status', () => {
  const entry = fc.record({ number: fc.integer({ min: 0, max: 255 }), incarnation: word48, sequence: word48 });

  test('comes back', () => {
    fc.assert(
      fc.property(
        fc.array(entry, { maxLength: 48 }),
        fc.uint8Array({ maxLength: 640 }),
        fc.boolean(),
        fc.integer({ min: 1, max: 65535 }),
        (heard, text, leaves, ms) => {
          const body = emitClusterStatus({ leaves, interval: ms / 1000, heard, text });
          expect(body.length).toBeLessThanOrEqual(CLUSTER_BODY_LIMIT);
          expect(readClusterStatus(body)).toEqual({ leaves, interval: ms / 1000, heard, text });
          for (const length of [0, 5, body.length - 1]) expect(readClusterStatus(body.subarray(0, length))).toBeNull();
        },
      ),
      { numRuns: FUZZ_RUNS },
    );
  });

  test('any bytes are read or refused', () => {
    fc.assert(
      fc.property(bytes, (body) => {
        readClusterStatus(body);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});

describe('state frames', () => {
  const reader = new StateFrameReader();

  test.each([0, 1])('records of plane %i come back, as many as fit', (plane) => {
    const width = PLANE_WORDS[plane];
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(2 ** 31 - 1), fc.boolean()), { minLength: 1, maxLength: 60 }), (items) => {
        const frame = new StateFrameWriter();
        frame.begin(STATE_KIND.changes, plane, 3, 2, 7, 3);
        frame.setPosition(2 ** 40 + 5, 12.5);
        const written: (readonly [number, boolean])[] = [];
        for (const item of items) {
          if (!frame.hasRoom(4 + 4 * width)) break;
          const words = Int32Array.from({ length: width }, (_, i) => Math.imul(item[0] + i, 0x9e3779b1));
          if (item[1]) frame.freed(item[0]);
          else frame.record(item[0], words, 0, width);
          written.push(item);
        }
        expect(reader.open(frame.end().slice())).toBe(true);
        expect(reader).toMatchObject({ kind: 4, plane, origin: 3, shard: 2, generation: 7, writer: 3, time: 12.5 });
        expect(reader.position).toBe(2 ** 40 + 5);
        expect(reader.count).toBe(written.length);
        let at = STATE_HEADER_LENGTH;
        for (const [index, freed] of written) {
          expect(reader.word(at)).toBe(freed ? index | FREED : index);
          if (!freed) expect(reader.word(at + 4 * width)).toBe(Math.imul(index + width - 1, 0x9e3779b1));
          at += freed ? 4 : 4 + 4 * width;
        }
      }),
      { numRuns: FUZZ_RUNS / 4 },
    );
  });

  test('counters of any size come back', () => {
    const total = fc.nat(Number.MAX_SAFE_INTEGER);
    const counters = fc.record({
      index: fc.nat(2 ** 31 - 1),
      tag: fc.integer(),
      lastSeen: fc.nat(2 ** 31 - 1),
      packetsIn: total,
      packetsOut: total,
      bytesIn: total,
      bytesOut: total,
    });
    fc.assert(
      fc.property(fc.array(counters, { minLength: 1, maxLength: 30 }), (all) => {
        const frame = new StateFrameWriter();
        frame.begin(STATE_KIND.counters, 0, 1, 0, 1, 1);
        const told = all.filter((one) => frame.hasRoom(COUNTERS_LENGTH) && (frame.counters(one), true));
        expect(reader.open(frame.end().slice())).toBe(true);
        const out = {} as TunnelCounters;
        for (const [i, one] of told.entries()) {
          reader.counters(STATE_HEADER_LENGTH + i * COUNTERS_LENGTH, out);
          expect(out).toEqual(one);
        }
      }),
      { numRuns: FUZZ_RUNS / 4 },
    );
  });

  test('any bytes are read or refused, and what is read has all that its header says', () => {
    fc.assert(
      fc.property(bytes, fc.integer({ min: 0, max: 13 }), fc.nat(3), fc.nat(40), (body, kind, plane, count) => {
        if (body.length >= STATE_HEADER_LENGTH) {
          body[0] = kind;
          body[1] = plane;
          body[15] = count;
          new DataView(body.buffer, body.byteOffset).setFloat64(16, 1);
        }
        if (!reader.open(body)) return;
        expect(body.length).toBeLessThanOrEqual(CLUSTER_BODY_LIMIT);
        expect(kind).toBeGreaterThan(0);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});
