/**
 * The MAC addresses of a gateway group.
 *
 *   local   02:54:44:gg:gg:nn    forwarder nn of group gggg: locally administered, so no vendor's (IEEE 802, bit U/L)
 *   cisco   00:07:b4:gg:gg:nn    the form of GLBP: the group has 10 bits
 *   group   03:54:44:gg:gg:00    where the messages between members go: locally administered and a group address
 *
 * A station is told from others by its MAC as one number, which is a faster key than text or bytes.
 */

/** A MAC address as an integer of 48 bits; the first byte on the wire is the highest. */
export type Mac = number;
export type MacScheme = 'local' | 'cisco';

export const FORWARDER_MAX = 255;
const TWO24 = 0x1000000;
const LOCAL_PREFIX = 0x025444;
const CISCO_PREFIX = 0x0007b4;
const GROUP_PREFIX = 0x035444;
export const BROADCAST: Mac = 0xffffffffffff;

/** The largest group that the scheme has room for. */
export function groupMax(scheme: MacScheme): number {
  return scheme === 'cisco' ? 1023 : 0xffff;
}

const prefixOf = (scheme: MacScheme): number => (scheme === 'cisco' ? CISCO_PREFIX : LOCAL_PREFIX);

/** Virtual MAC of a forwarder. */
export function virtualMac(scheme: MacScheme, group: number, forwarder: number): Mac {
  return prefixOf(scheme) * TWO24 + group * 256 + forwarder;
}

/** Destination of the group's messages. */
export function messagesMac(group: number): Mac {
  return GROUP_PREFIX * TWO24 + group * 256;
}

/** Number of the group's forwarder that has this virtual MAC; 0: none of this group. */
export function forwarderOf(scheme: MacScheme, group: number, mac: Mac): number {
  const forwarder = mac - virtualMac(scheme, group, 0);
  return forwarder >= 1 && forwarder <= FORWARDER_MAX ? forwarder : 0;
}

/** The six bytes at `offset`, which must be there. */
export function readMac(bytes: Uint8Array, offset = 0): Mac {
  const high = (bytes[offset] << 16) | (bytes[offset + 1] << 8) | bytes[offset + 2];
  const low = (bytes[offset + 3] << 16) | (bytes[offset + 4] << 8) | bytes[offset + 5];
  return high * TWO24 + low;
}

export function writeMacNumber(bytes: Uint8Array, offset: number, mac: Mac): void {
  const high = Math.floor(mac / TWO24);
  const low = mac % TWO24;
  bytes[offset] = high >> 16;
  bytes[offset + 1] = high >> 8;
  bytes[offset + 2] = high;
  bytes[offset + 3] = low >> 16;
  bytes[offset + 4] = low >> 8;
  bytes[offset + 5] = low;
}

export function macBytes(mac: Mac): Uint8Array {
  const bytes = new Uint8Array(6);
  writeMacNumber(bytes, 0, mac);
  return bytes;
}

/** `02:54:44:00:07:01` */
export function macText(mac: Mac): string {
  return mac
    .toString(16)
    .padStart(12, '0')
    .replace(/..(?=.)/g, '$&:');
}

/** Can the address be that of a station: no group address, not zero? */
export function isStation(mac: Mac): boolean {
  return mac !== 0 && (Math.floor(mac / 2 ** 40) & 1) === 0;
}
