import { describe, expect, test } from 'vitest';
import {
  checkHeader,
  hasSequence,
  isControl,
  messageLength,
  sequenceNr,
  sequenceNs,
  sessionId,
  tunnelId,
  tunnelIdOffset,
  writeControlHeader,
  writeDataHeader,
} from '../../../src/tunnels/l2tp/header.js';
import {
  BAD_LENGTH,
  BAD_OFFSET,
  CONTROL_FLAGS,
  MALFORMED_REASONS,
  malformedName,
  OTHER_VERSION,
  TRUNCATED,
} from '../../../src/tunnels/l2tp/malformed.js';
import * as malformed from '../../../src/tunnels/l2tp/malformed.js';
import { bytesOf, exactly } from './datagrams.js';

const check = (hex: string): number => {
  const view = exactly(bytesOf(hex));
  return checkHeader(view, 0, view.byteLength);
};

describe('control header', () => {
  const zlb = 'c802 000c 1234 5678 0001 0002';

  test('a ZLB of 12 bytes is whole', () => {
    const view = exactly(bytesOf(zlb));
    expect(checkHeader(view, 0, 12)).toBe(12);
    expect(isControl(view, 0)).toBe(true);
    expect(tunnelIdOffset(view, 0)).toBe(4);
    expect([tunnelId(view, 0), sessionId(view, 0), sequenceNs(view, 0), sequenceNr(view, 0)]).toEqual([
      0x1234, 0x5678, 1, 2,
    ]);
  });

  test.each([...Array(12).keys()])('cut to %i bytes: truncated', (length) => {
    const view = exactly(bytesOf(zlb).slice(0, length));
    expect(checkHeader(view, 0, length)).toBe(TRUNCATED);
  });

  test.each([
    ['without L', '8802'],
    ['without S', 'c002'],
    ['with O', 'ca02'],
    ['with P', 'c902'],
    ['with nothing but T', '8002'],
  ])('%s: refused', (_, flags) => {
    expect(check(zlb.replace('c802', flags))).toBe(CONTROL_FLAGS);
  });

  test.each(['f802', 'd802', 'e802', 'cc02', 'c8f2', 'fcf2'])('reserved bits (%s) are ignored', (flags) => {
    expect(check(zlb.replace('c802', flags))).toBe(12);
  });

  test('Length less than the payload: the rest is nobody’s', () => {
    const view = exactly(bytesOf(`${zlb} ffff`));
    expect(checkHeader(view, 0, 14)).toBe(12);
    expect(messageLength(view, 0, 14)).toBe(12);
  });

  test.each(['000d', 'ffff'])('Length %s beyond the payload: refused', (length) => {
    expect(check(zlb.replace('000c', length))).toBe(BAD_LENGTH);
  });

  test.each(['0000', '0006', '000b'])('Length %s that does not cover the header: refused', (length) => {
    expect(check(zlb.replace('000c', length))).toBe(BAD_LENGTH);
  });
});

describe('version', () => {
  test.each([0, 1, 3, 4, 9, 15])('%i is not ours, control or data', (version) => {
    const nibble = version.toString(16);
    expect(check(`c80${nibble} 000c 0000 0000 0000 0000`)).toBe(OTHER_VERSION);
    expect(check(`000${nibble} 0001 0001 ff03`)).toBe(OTHER_VERSION);
  });

  test('is judged before flags and length, so that a short L2F packet counts as one', () => {
    expect(check('c001')).toBe(OTHER_VERSION);
    expect(check('ff')).toBe(TRUNCATED);
    expect(check('')).toBe(TRUNCATED);
  });
});

describe('data header', () => {
  // Every set of optional fields; lengths as they follow from the diagram, not from the code.
  test.each([
    ['nothing', '0002 0007 0009 ff03', 6, 2],
    ['P', '0102 0007 0009 ff03', 6, 2],
    ['L', '4002 000a 0007 0009 ff03', 8, 4],
    ['S', '0802 0007 0009 0003 0004 ff03', 10, 2],
    ['O of 0', '0202 0007 0009 0000 ff03', 8, 2],
    ['O of 2', '0202 0007 0009 0002 eeee ff03', 10, 2],
    ['L, S and O of 1', '4a02 0011 0007 0009 0003 0004 0001 ee ff03', 15, 4],
  ])('with %s', (_, hex, headerLength, idAt) => {
    const view = exactly(bytesOf(hex));
    expect(checkHeader(view, 0, view.byteLength)).toBe(headerLength);
    expect(tunnelIdOffset(view, 0)).toBe(idAt);
    expect(tunnelId(view, 0)).toBe(7);
    expect(sessionId(view, 0)).toBe(9);
    if (hasSequence(view, 0)) expect([sequenceNs(view, 0), sequenceNr(view, 0)]).toEqual([3, 4]);
    expect(view.getUint16(headerLength)).toBe(0xff03);
  });

  test.each([
    ['nothing', '0002 0007 0009'],
    ['L', '4002 0008 0007 0009'],
    ['S', '0802 0007 0009 0003 0004'],
    ['L, S, O', '4a02 000e 0007 0009 0003 0004 0000'],
  ])('with %s, cut at every length: truncated', (_, hex) => {
    const bytes = bytesOf(hex);
    for (let length = 0; length < bytes.length; length++) {
      expect(checkHeader(exactly(bytes.slice(0, length)), 0, length)).toBe(TRUNCATED);
    }
    expect(checkHeader(exactly(bytes), 0, bytes.length)).toBe(bytes.length);
  });

  test('an empty payload behind the offset pad is allowed, one byte of pad too many is not', () => {
    expect(check('0202 0007 0009 0002 eeee')).toBe(10);
    expect(check('0202 0007 0009 0003 eeee')).toBe(BAD_OFFSET);
    expect(check('0202 0007 0009 ffff eeee')).toBe(BAD_OFFSET);
  });

  test('the pad is held to L’s length, not to the payload’s', () => {
    expect(check('4202 000b 0007 0009 0001 ee ffffff')).toBe(11);
    expect(check('4202 000b 0007 0009 0002 ee ffffff')).toBe(BAD_OFFSET);
  });

  test('Length below the header or beyond the payload: refused', () => {
    expect(check('4002 0007 0007 0009')).toBe(BAD_LENGTH);
    expect(check('4002 0009 0007 0009')).toBe(BAD_LENGTH);
    expect(check('4802 000b 0007 0009 0001 0001')).toBe(BAD_LENGTH);
  });

  test('reserved bits are ignored', () => {
    expect(check('34f2 0007 0009')).toBe(6);
  });

  test('Nr is not looked at', () => {
    expect(check('0802 0007 0009 0003 ffff')).toBe(10);
  });
});

describe('writing', () => {
  const canvas = () => new DataView(new Uint8Array(32).fill(0xa5).buffer);
  const hexOf = (view: DataView, length: number) => Buffer.from(view.buffer, 0, length).toString('hex');

  test('a control header leaves no byte unwritten', () => {
    const view = canvas();
    expect(writeControlHeader(view, 0, 12, 0x1234, 0x5678, 1, 2)).toBe(12);
    expect(hexOf(view, 13)).toBe('c802000c1234567800010002a5');
  });

  test('a data header with everything, and what it says can be read back', () => {
    const view = canvas();
    const options = { payloadLength: 3, ns: 5, nr: 6, offsetSize: 2, priority: true };
    expect(writeDataHeader(view, 0, 7, 9, options)).toBe(16);
    expect(hexOf(view, 17)).toBe('4b02001300070009000500060002' + '0000' + 'a5');
    expect(checkHeader(view, 0, 19)).toBe(16);
    expect(messageLength(view, 0, 32)).toBe(19);
  });

  test('a data header with nothing', () => {
    const view = canvas();
    expect(writeDataHeader(view, 0, 7, 9)).toBe(6);
    expect(hexOf(view, 7)).toBe('000200070009a5');
  });
});

test('codes and reasons agree', () => {
  const codes = Object.entries(malformed).flatMap(([name, code]) =>
    typeof code === 'number' ? [[name, code as number] as const] : [],
  );
  expect(codes.map(([, code]) => -1 - code).sort((a, b) => a - b)).toEqual([...MALFORMED_REASONS.keys()]);
  expect(malformedName(OTHER_VERSION)).toBe('l2tp-version');
  expect(malformedName(malformed.NO_TUNNEL_ID)).toBe('l2tp-no-tunnel-id');
  for (const [name, sentence] of MALFORMED_REASONS) {
    expect(name).toMatch(/^l2tp-[a-z-]+$/);
    expect(sentence.length).toBeGreaterThan(20);
  }
});
