import { describe, expect, test } from 'vitest';
import {
  buildPppControl,
  buildPppData,
  checkPppOptions,
  pppControlEnd,
  readPppHeader,
  sameBytes,
} from '../../src/wire/ppp.js';

describe('PPP header', () => {
  test.each([
    ['all of it', [0xff, 3, 0xc0, 0x21, 1], 0xc021, 4],
    ['no address and control', [0xc0, 0x21, 1], 0xc021, 2],
    ['a protocol of one byte', [0xff, 3, 0x21, 0x45], 0x21, 3],
    ['both compressed', [0x57, 0x60], 0x57, 1],
    ['only the protocol', [0, 0x21], 0x21, 2],
  ])('%s', (_, frame, protocol, offset) => {
    expect(readPppHeader(Uint8Array.from(frame))).toBe(protocol | (offset << 16));
  });

  test.each([[[]], [[0xff, 3]], [[0xff, 3, 0xc0]], [[0x80]]])('%j is too short', (frame) =>
    expect(readPppHeader(Uint8Array.from(frame))).toBe(-1),
  );
});

describe('control packets', () => {
  test('what is built can be read', () => {
    const frame = buildPppControl(0xc021, 1, 7, Uint8Array.of(1, 4, 5, 0xdc));
    expect([...frame]).toEqual([0xff, 3, 0xc0, 0x21, 1, 7, 0, 8, 1, 4, 5, 0xdc]);
    expect(pppControlEnd(frame, 4)).toBe(12);
    expect([...buildPppData(0x57, Uint8Array.of(0x60))]).toEqual([0xff, 3, 0, 0x57, 0x60]);
  });

  test('padding is left out; a length beyond the frame or below 4 is refused', () => {
    expect(pppControlEnd(Uint8Array.of(1, 1, 0, 4, 0xaa), 0)).toBe(4);
    expect(pppControlEnd(Uint8Array.of(1, 1, 0, 6, 0xaa), 0)).toBe(0);
    expect(pppControlEnd(Uint8Array.of(1, 1, 0, 3, 0xaa), 0)).toBe(0);
    expect(pppControlEnd(Uint8Array.of(1, 1, 0), 0)).toBe(0);
  });

  test('options must fill the body', () => {
    expect(checkPppOptions(Uint8Array.of())).toBe(true);
    expect(checkPppOptions(Uint8Array.of(7, 2, 1, 4, 5, 6))).toBe(true);
    for (const body of [[7], [7, 0], [7, 1], [7, 3], [7, 2, 1, 4, 5]]) {
      expect(checkPppOptions(Uint8Array.from(body))).toBe(false);
    }
  });

  test('bytes are compared with their number', () => {
    expect(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true);
    expect(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false);
    expect(sameBytes(Uint8Array.of(1), Uint8Array.of(1, 3))).toBe(false);
  });
});
