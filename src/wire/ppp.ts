/**
 * PPP frames and the packets of its control protocols: RFC 1661 §2, §5 and §6, RFC 1662 §3.1.
 *
 *   | FF 03 (may be missing, RFC 1661 §6.6) | protocol, 2 bytes, or 1 when its low byte is odd and its high byte 0 (§6.5) |
 *   control protocols: | code (8) | identifier (8) | length (16), with these 4 bytes | data, then padding |
 */

/** Protocol numbers, IANA "PPP DLL Protocol Numbers". */
export const PPP_PROTOCOL = {
  ipv4: 0x0021,
  vjCompressed: 0x002d,
  vjUncompressed: 0x002f,
  ipv6: 0x0057,
  ipcp: 0x8021,
  ipv6cp: 0x8057,
  ccp: 0x80fd,
  lcp: 0xc021,
  pap: 0xc023,
  lqr: 0xc025,
  chap: 0xc223,
  eap: 0xc227,
} as const;

/** Codes of LCP; the NCPs have those up to Code-Reject (RFC 1661 §5; 12 and 13: RFC 1570). */
export const PPP_CODE = {
  configureRequest: 1,
  configureAck: 2,
  configureNak: 3,
  configureReject: 4,
  terminateRequest: 5,
  terminateAck: 6,
  codeReject: 7,
  protocolReject: 8,
  echoRequest: 9,
  echoReply: 10,
  discardRequest: 11,
  identification: 12,
  timeRemaining: 13,
} as const;

/** Address and control fields: all stations, unnumbered information. */
const ADDRESS = 0xff;
const CONTROL = 0x03;
/** FF 03, protocol, code, identifier, length. */
export const PPP_CONTROL_HEADER = 8;

/**
 * Protocol of a frame, and where its information begins: `protocol | offset << 16`; −1 when the frame is too short.
 * Address and control, and the protocol's upper byte, may be missing.
 */
export function readPppHeader(frame: Uint8Array): number {
  let at = frame.length >= 2 && frame[0] === ADDRESS && frame[1] === CONTROL ? 2 : 0;
  if (at >= frame.length) return -1;
  let protocol = frame[at++];
  if ((protocol & 1) === 0) {
    if (at >= frame.length) return -1;
    protocol = (protocol << 8) | frame[at++];
  }
  return protocol | (at << 16);
}

/** A whole frame with a control packet in it. LCP must never go compressed, and no receiver may demand that others do. */
export function buildPppControl(protocol: number, code: number, id: number, data: Uint8Array): Uint8Array {
  const frame = new Uint8Array(PPP_CONTROL_HEADER + data.length);
  const length = 4 + data.length;
  frame[0] = ADDRESS;
  frame[1] = CONTROL;
  frame[2] = protocol >> 8;
  frame[3] = protocol;
  frame[4] = code;
  frame[5] = id;
  frame[6] = length >> 8;
  frame[7] = length;
  frame.set(data, PPP_CONTROL_HEADER);
  return frame;
}

/** A frame of data from FF 03 on. */
export function buildPppData(protocol: number, packet: Uint8Array): Uint8Array {
  const frame = new Uint8Array(4 + packet.length);
  frame[0] = ADDRESS;
  frame[1] = CONTROL;
  frame[2] = protocol >> 8;
  frame[3] = protocol;
  frame.set(packet, 4);
  return frame;
}

/**
 * End of the control packet that begins at `offset`, by its length field; 0 when that is below 4 or beyond the frame.
 * What lies behind it is padding (RFC 1661 §5).
 */
export function pppControlEnd(frame: Uint8Array, offset: number): number {
  if (frame.length - offset < 4) return 0;
  const length = (frame[offset + 2] << 8) | frame[offset + 3];
  return length < 4 || length > frame.length - offset ? 0 : offset + length;
}

/** Whether options fill the body exactly: | type (8) | length (8), with these 2 bytes | data |. */
export function checkPppOptions(body: Uint8Array): boolean {
  let at = 0;
  while (at < body.length) {
    const length = at + 1 < body.length ? body[at + 1] : 0;
    if (length < 2 || at + length > body.length) return false;
    at += length;
  }
  return true;
}

/** 16 or 32 bits, most significant byte first. */
export function pppU16(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}

export function pppU32(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false;
  return true;
}
