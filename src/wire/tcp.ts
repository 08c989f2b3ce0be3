/**
 * The TCP header as far as the product looks: ports and length. RFC 9293 §3.1.
 *
 *   | Source Port | Destination Port |
 *   | Sequence Number                |
 *   | Acknowledgement Number         |
 *   | Offset | flags | Window        |   Offset in 32-bit words
 *   | Checksum | Urgent Pointer      |
 *
 * `checkTcp` first; after a positive answer every getter is safe.
 */
import { checksum } from './checksum.js';

export const TCP_HEADER_MIN = 20;
const SOURCE_PORT = 0;
const DESTINATION_PORT = 2;
const DATA_OFFSET = 12;

/** Length of the header with its options, or 0. */
export function checkTcp(view: DataView, offset: number, end: number): number {
  if (end - offset < TCP_HEADER_MIN) return 0;
  const length = (view.getUint8(offset + DATA_OFFSET) >> 4) << 2;
  return length < TCP_HEADER_MIN || length > end - offset ? 0 : length;
}

export function tcpSourcePort(view: DataView, offset: number): number {
  return view.getUint16(offset + SOURCE_PORT);
}

export function tcpDestinationPort(view: DataView, offset: number): number {
  return view.getUint16(offset + DESTINATION_PORT);
}

/** `end`: of the IP payload, since TCP has no length of its own. `pseudo`: the sum of the pseudo-header. */
export function tcpChecksumValid(view: DataView, offset: number, end: number, pseudo: number): boolean {
  return checksum(view, offset, end, pseudo) === 0;
}
