/** PPPoE packets: what is built is read back, and no bytes make the reader fail. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  buildDiscovery,
  buildSession,
  PADI,
  PADO,
  readLine,
  readPppoe,
  readTags,
  TAG_END_OF_LIST,
  TAG_HOST_UNIQ,
  TAG_SERVICE_NAME,
  TAG_VENDOR_SPECIFIC,
  type PppoePacket,
  TYPE_PPPOE_DISCOVERY,
  TYPE_PPPOE_SESSION,
} from '../../src/wire/pppoe.js';
import { FUZZ_RUNS } from '../helpers/fuzz.js';

const A = Uint8Array.of(2, 0, 0, 0, 0, 1);
const B = Uint8Array.of(2, 0, 0, 0, 0, 2);
const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));

describe('frames', () => {
  // RFC 2516, appendix B: a PADI that asks for any service.
  const PADI_FRAME = hex(`ffffffffffff 00c04f123456 8863 11 09 0000 0004 0101 0000 ${'00'.repeat(36)}`);

  test('the PADI of the RFC is read, its padding is no part of it', () => {
    const packet = readPppoe(PADI_FRAME) as PppoePacket;
    expect(packet).toMatchObject({ etherType: TYPE_PPPOE_DISCOVERY, code: PADI, session: 0 });
    expect(readTags(packet.payload)).toEqual([{ type: TAG_SERVICE_NAME, value: new Uint8Array(0) }]);
  });

  test('what is built is what the RFC shows', () => {
    const tags = [{ type: TAG_SERVICE_NAME, value: new Uint8Array(0) }];
    const built = buildDiscovery({
      destination: new Uint8Array(6).fill(0xff),
      source: hex('00c04f123456'),
      code: PADI,
      session: 0,
      tags,
    });
    expect(built).toEqual(PADI_FRAME);
  });

  test('tags and PPP come back as they were given', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ type: fc.integer({ min: 1, max: 0xffff }), value: fc.uint8Array({ maxLength: 60 }) }), {
          maxLength: 8,
        }),
        fc.integer({ min: 0, max: 0xffff }),
        fc.uint8Array({ maxLength: 200 }),
        (tags, session, ppp) => {
          const discovery = readPppoe(
            buildDiscovery({ destination: A, source: B, code: PADO, session, tags }),
          ) as PppoePacket;
          expect(readTags(discovery.payload)).toEqual(tags);
          const data = readPppoe(buildSession(A, B, session, ppp)) as PppoePacket;
          expect(data).toMatchObject({ etherType: TYPE_PPPOE_SESSION, code: 0, session });
          expect([...data.payload]).toEqual([...ppp]);
        },
      ),
      { numRuns: Math.min(FUZZ_RUNS, 300) },
    );
  });

  test.each([
    ['short', hex('ffffffffffff 00c04f123456 8863 11 09 0000 00')],
    ['not-pppoe', hex('ffffffffffff 00c04f123456 0800 11 09 0000 0004 0101 0000')],
    ['version', hex('ffffffffffff 00c04f123456 8863 21 09 0000 0004 0101 0000')],
    ['length', hex('ffffffffffff 00c04f123456 8863 11 09 0000 0005 0101 0000')],
  ])('%s is a fault', (fault, frame) => expect(readPppoe(frame)).toBe(fault));

  test('no bytes make a reader fail', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        const frame = Uint8Array.of(...A, ...B, 0x88, 0x63, 0x11, ...bytes);
        const packet = readPppoe(frame);
        const tags = readTags(typeof packet === 'string' ? bytes : packet.payload);
        if (tags !== null) readLine(tags);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});

describe('tags', () => {
  test('the list ends at End-Of-List, and a tag that does not fit makes it unreadable', () => {
    const tag = hex(`0103 0002 abcd`);
    expect(readTags(Uint8Array.of(...tag, 0, TAG_END_OF_LIST, 0, 0, 9))).toEqual([
      { type: TAG_HOST_UNIQ, value: hex('abcd') },
    ]);
    expect(readTags(hex('0103 0003 abcd'))).toBeNull();
    expect(readTags(hex('0103 00'))).toBeNull();
  });

  test('the line that an access node tells (TR-101)', () => {
    const value = Uint8Array.of(0, 0, 0x0d, 0xe9, 1, 3, 0x70, 0x2f, 0x31, 2, 2, 0x61, 0x62);
    expect(readLine([{ type: TAG_VENDOR_SPECIFIC, value }])).toEqual({ circuitId: 'p/1', remoteId: 'ab' });
    expect(readLine([{ type: TAG_VENDOR_SPECIFIC, value: value.subarray(0, 8) }])).toEqual({
      circuitId: null,
      remoteId: null,
    });
    expect(readLine([{ type: TAG_VENDOR_SPECIFIC, value: Uint8Array.of(0, 0, 0, 9, 1, 1, 1) }]).circuitId).toBeNull();
  });
});
