/**
 * The UDP header: RFC 768.
 *
 *   | Source Port | Destination Port |
 *   | Length      | Checksum         |   checksum 0 = none sent; over IPv6 never 0 (RFC 8200 §8.1)
 *
 * `checkUdp` first; after a positive answer every getter is safe, and `udpEnd` is not beyond the `end` that was given.
 */
import { asUdp, checksum } from './checksum.js';

export const UDP_HEADER_LENGTH = 8;
const SOURCE_PORT = 0;
const DESTINATION_PORT = 2;
const LENGTH = 4;
const CHECKSUM = 6;

/** 8, or 0: too short, or a length below 8 or beyond `end`. A length below what IP carries is allowed. */
export function checkUdp(view: DataView, offset: number, end: number): number {
  if (end - offset < UDP_HEADER_LENGTH) return 0;
  const length = view.getUint16(offset + LENGTH);
  return length < UDP_HEADER_LENGTH || length > end - offset ? 0 : UDP_HEADER_LENGTH;
}

export function udpSourcePort(view: DataView, offset: number): number {
  return view.getUint16(offset + SOURCE_PORT);
}

export function udpDestinationPort(view: DataView, offset: number): number {
  return view.getUint16(offset + DESTINATION_PORT);
}

export function udpLength(view: DataView, offset: number): number {
  return view.getUint16(offset + LENGTH);
}

export function udpEnd(view: DataView, offset: number): number {
  return offset + view.getUint16(offset + LENGTH);
}

/** False when the sender left it out. */
export function udpHasChecksum(view: DataView, offset: number): boolean {
  return view.getUint16(offset + CHECKSUM) !== 0;
}

/** `pseudo`: the sum of the pseudo-header. Ask only where `udpHasChecksum`. */
export function udpChecksumValid(view: DataView, offset: number, pseudo: number): boolean {
  return checksum(view, offset, udpEnd(view, offset), pseudo) === 0;
}

/** Writes the header and, over the payload that already stands behind it, the checksum. Returns 8. */
export function emitUdp(
  view: DataView,
  offset: number,
  sourcePort: number,
  destinationPort: number,
  length: number,
  pseudo: number,
): number {
  view.setUint16(offset + SOURCE_PORT, sourcePort);
  view.setUint16(offset + DESTINATION_PORT, destinationPort);
  view.setUint16(offset + LENGTH, length);
  view.setUint16(offset + CHECKSUM, 0);
  view.setUint16(offset + CHECKSUM, asUdp(checksum(view, offset, offset + length, pseudo)));
  return UDP_HEADER_LENGTH;
}
