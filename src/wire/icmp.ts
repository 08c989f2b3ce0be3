/**
 * ICMP: the fixed header and Echo. RFC 792, RFC 1122 §3.2.2.6.
 *
 *   | Type | Code | Checksum         |   the checksum covers the whole message, no pseudo-header
 *   | Identifier  | Sequence Number  |   Echo; in an error the IP header that caused it follows
 *
 * `checkIcmp` first; after a positive answer every getter is safe.
 */
import { checksum } from './checksum.js';

export const ICMP_HEADER_LENGTH = 8;
export const ICMP_ECHO_REPLY = 0;
export const ICMP_DESTINATION_UNREACHABLE = 3;
export const ICMP_ECHO_REQUEST = 8;
const TYPE = 0;
const CODE = 1;
const CHECKSUM = 2;

/** 8, or 0 when too short. */
export function checkIcmp(_view: DataView, offset: number, end: number): number {
  return end - offset < ICMP_HEADER_LENGTH ? 0 : ICMP_HEADER_LENGTH;
}

export function icmpType(view: DataView, offset: number): number {
  return view.getUint8(offset + TYPE);
}

export function icmpCode(view: DataView, offset: number): number {
  return view.getUint8(offset + CODE);
}

export function icmpChecksumValid(view: DataView, offset: number, end: number): boolean {
  return checksum(view, offset, end) === 0;
}

/**
 * Sets type and code of a message whose other bytes stand in [offset, end), and its checksum. `pseudo` is 0 for ICMP,
 * the sum of the pseudo-header for ICMPv6.
 */
export function emitIcmp(view: DataView, offset: number, end: number, type: number, code: number, pseudo = 0): void {
  view.setUint8(offset + TYPE, type);
  view.setUint8(offset + CODE, code);
  view.setUint16(offset + CHECKSUM, 0);
  view.setUint16(offset + CHECKSUM, checksum(view, offset, end, pseudo));
}
