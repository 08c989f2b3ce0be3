/** PPP frames as a modem line carries them: HDLC-like framing, RFC 1662 §4.2 and appendix C. */

const FLAG = 0x7e;
const ESCAPE = 0x7d;
const FCS_POLYNOMIAL = 0x8408;
const FCS_START = 0xffff;

/** Flag, bytes and check sequence with all control characters escaped, flag. `frame` begins with address and control. */
export function hdlcFrame(frame: readonly number[]): number[] {
  const fcs = checkSequence(frame);
  const body = [...frame, fcs & 0xff, fcs >> 8];
  const escaped = body.flatMap((byte) =>
    byte < 0x20 || byte === FLAG || byte === ESCAPE ? [ESCAPE, byte ^ 0x20] : [byte],
  );
  return [FLAG, ...escaped, FLAG];
}

/** FCS-16, as it stands in the frame: complemented. */
function checkSequence(bytes: readonly number[]): number {
  let fcs = FCS_START;
  for (const byte of bytes) {
    fcs ^= byte;
    for (let bit = 0; bit < 8; bit++) fcs = (fcs & 1) !== 0 ? (fcs >> 1) ^ FCS_POLYNOMIAL : fcs >> 1;
  }
  return fcs ^ 0xffff;
}

/** For the shell's printf: `\377\003…`. */
export function octalText(bytes: readonly number[]): string {
  return bytes.map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
}
