import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  emitPcapHeader,
  emitPcapRecord,
  newPcapRecord,
  PCAP_FRAME_MAX,
  PcapError,
  readPcap,
  readPcapHeader,
  readPcapRecord,
} from '../../src/wire/pcap.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';
import { bytes, hex, viewOf } from '../helpers/packet-builder.js';

const BIG_MICRO = 'a1b2c3d4 0002 0004 00000000 00000000 00040000 00000001';
const LITTLE_MICRO = 'd4c3b2a1 0200 0400 00000000 00000000 00000400 01000000';
const BIG_NANO = 'a1b23c4d 0002 0004 00000000 00000000 00040000 00000001';
const LITTLE_NANO = '4d3cb2a1 0200 0400 00000000 00000000 00000400 01000000';

describe('reading', () => {
  test.each([
    ['big-endian, microseconds', `${BIG_MICRO} 00000005 00000007 00000002 00000040 aabb`, 5.000007],
    ['little-endian, microseconds', `${LITTLE_MICRO} 05000000 07000000 02000000 40000000 aabb`, 5.000007],
    ['big-endian, nanoseconds', `${BIG_NANO} 00000005 00000007 00000002 00000040 aabb`, 5.000000007],
    ['little-endian, nanoseconds', `${LITTLE_NANO} 05000000 07000000 02000000 40000000 aabb`, 5.000000007],
  ])('%s', (_name, file, seconds) => {
    expect(readPcap(bytes(file))).toEqual([{ seconds, frame: Uint8Array.of(0xaa, 0xbb), originalLength: 64 }]);
  });
  test('the header tells link type and snap length, whatever stands in the bits of the frame check sequence', () => {
    expect(readPcapHeader(viewOf(bytes(LITTLE_MICRO.replace(/01000000$/, '71000054'))), 0, 24)).toEqual({
      littleEndian: true,
      nanoseconds: false,
      linkType: 113,
      snapLength: 0x40000,
    });
  });
  test('an empty capture has no frames', () => expect(readPcap(bytes(LITTLE_MICRO))).toEqual([]));
  test('a frame of no bytes is a frame', () => {
    expect(readPcap(bytes(`${LITTLE_MICRO} ${'00'.repeat(16)}`))).toEqual([
      { seconds: 0, frame: new Uint8Array(0), originalLength: 0 },
    ]);
  });
});

describe('what cannot be read', () => {
  const file = bytes(
    `${LITTLE_MICRO} 05000000 07000000 02000000 40000000 aabb 06000000 00000000 03000000 03000000 010203`,
  );
  const failure = (data: Uint8Array): PcapError => {
    try {
      readPcap(data);
    } catch (error) {
      expect(error).toBeInstanceOf(PcapError);
      return error as PcapError;
    }
    throw new Error('it could be read');
  };
  test('cut at every length: read up to a record, else an error with the position of the record that is not whole', () => {
    for (let length = 0; length <= file.length; length++) {
      const cut = file.slice(0, length);
      if ([24, 42, 61].includes(length)) expect(readPcap(cut)).toHaveLength([24, 42, 61].indexOf(length));
      else expect(failure(cut).position, `cut to ${length}`).toBe(length < 24 ? length : length < 42 ? 24 : 42);
    }
  });
  test('another file', () =>
    expect(failure(bytes(`7f454c46${'00'.repeat(20)}`)).message).toBe('not a pcap file: it begins with 0x7f454c46'));
  test('pcapng, with what to do about it', () =>
    expect(failure(bytes(`0a0d0d0a${'00'.repeat(20)}`)).message).toContain('editcap -F pcap'));
  test('a record longer than any frame', () => {
    const error = failure(bytes(`${LITTLE_MICRO} 05000000 07000000 01000400 01000400`));
    expect(error.message).toBe(`byte 24: a frame of ${PCAP_FRAME_MAX + 1} bytes; ${PCAP_FRAME_MAX} is the limit`);
  });
  test('any bytes: an error of ours or frames inside the file', () => {
    fc.assert(
      fc.property(fc.constantFrom(BIG_MICRO, LITTLE_NANO, ''), fc.uint8Array({ maxLength: 80 }), (head, tail) => {
        const data = Uint8Array.from([...bytes(head), ...tail]);
        try {
          for (const { frame } of readPcap(data)) expect(frame.length).toBeLessThanOrEqual(tail.length);
        } catch (error) {
          expect(error).toBeInstanceOf(PcapError);
        }
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});

describe('writing', () => {
  test('byte for byte', () => {
    const out = new Uint8Array(44).fill(0xa5);
    const view = viewOf(out);
    expect(emitPcapHeader(view, 0)).toBe(24);
    expect(emitPcapRecord(view, 24, 5, 7, 2, 64)).toBe(16);
    expect(hex(out)).toBe(`${LITTLE_NANO} 05000000 07000000 02000000 40000000 a5a5a5a5`.replace(/ /g, ''));
  });
  test('what is written is read', () => {
    const record = fc.record({
      seconds: fc.nat(0x7fffffff),
      nanoseconds: fc.nat(999_999_999),
      frame: fc.uint8Array({ maxLength: 40 }),
    });
    fc.assert(
      fc.property(fc.array(record, { maxLength: 5 }), (records) => {
        const out = new Uint8Array(24 + records.reduce((sum, { frame }) => sum + 16 + frame.length, 0)).fill(0xa5);
        const view = viewOf(out);
        let at = emitPcapHeader(view, 0);
        for (const { seconds, nanoseconds, frame } of records) {
          at += emitPcapRecord(view, at, seconds, nanoseconds, frame.length);
          out.set(frame, at);
          at += frame.length;
        }
        const format = readPcapHeader(view, 0, out.length);
        const read = newPcapRecord();
        at = 24;
        for (const { seconds, nanoseconds, frame } of records) {
          const length = readPcapRecord(view, at, out.length, format, read);
          expect(read).toEqual({
            seconds,
            nanoseconds,
            offset: at + 16,
            length: frame.length,
            originalLength: frame.length,
          });
          expect([...out.subarray(read.offset, read.offset + read.length)]).toEqual([...frame]);
          at += length;
        }
        expect(readPcapRecord(view, at, out.length, format, read)).toBe(0);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});
