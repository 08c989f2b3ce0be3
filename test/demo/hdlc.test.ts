import { describe, expect, test } from 'vitest';
import { hdlcFrame, octalText } from '../../src/demo/lab/hdlc.js';

describe('PPP in HDLC-like framing', () => {
  test('an LCP Configure-Request without options, as it is on the line (RFC 1662 §4.2)', () => {
    const frame = hdlcFrame([0xff, 0x03, 0xc0, 0x21, 0x01, 0x01, 0x00, 0x04]);
    expect(octalText(frame)).toBe(
      '\\176\\377\\175\\043\\300\\041\\175\\041\\175\\041\\175\\040\\175\\044\\321\\265\\176',
    );
  });

  test('flag and escape inside a frame are escaped, and its two flags stand alone', () => {
    const frame = hdlcFrame([0x7e, 0x7d, 0x41]);
    expect(frame.slice(0, 6)).toEqual([0x7e, 0x7d, 0x5e, 0x7d, 0x5d, 0x41]);
    expect(frame.filter((byte) => byte === 0x7e)).toHaveLength(2);
  });
});
