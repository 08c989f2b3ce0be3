/**
 * Ethernet II frames and the 802.1Q tag.
 *
 *   | destination (6) | source (6) | type (2) | …
 *   | destination (6) | source (6) | 0x8100 (2) | PCP(3) DEI(1) VID(12) | type (2) | …      with a tag
 *
 * Inside the product a frame has no tag: the port takes it off on receipt and puts it back on send.
 * `checkEthernet` first; after a positive answer every getter is safe.
 */
export const ETHERNET_LENGTH = 14;
export const VLAN_TAG_LENGTH = 4;

export const TYPE_IPV4 = 0x0800;
export const TYPE_ARP = 0x0806;
export const TYPE_VLAN = 0x8100; // IEEE 802.1Q
export const TYPE_IPV6 = 0x86dd;

const DESTINATION = 0;
const SOURCE = 6;
const TYPE = 12;
const TAG = 14;

/** Length of the header at `offset` without any tag, or 0. */
export function checkEthernet(_view: DataView, offset: number, end: number): number {
  return end - offset < ETHERNET_LENGTH ? 0 : ETHERNET_LENGTH;
}

export function etherType(view: DataView, offset: number): number {
  return view.getUint16(offset + TYPE);
}

/** Group addresses are broadcast and multicast: never a source, never a place for an answer. */
export function isGroupMac(view: DataView, offset: number): boolean {
  return (view.getUint8(offset) & 1) !== 0;
}

export function destinationIsGroup(view: DataView, offset: number): boolean {
  return isGroupMac(view, offset + DESTINATION);
}

export function sourceIsGroup(view: DataView, offset: number): boolean {
  return isGroupMac(view, offset + SOURCE);
}

/** Byte offset of the source address, for copying. */
export function sourceMacOffset(offset: number): number {
  return offset + SOURCE;
}

/** VLAN id of the tag inside the frame, 0 for a priority tag, −1 when there is no (whole) tag. */
export function vlanInside(view: DataView, offset: number, end: number): number {
  if (end - offset < ETHERNET_LENGTH + VLAN_TAG_LENGTH || view.getUint16(offset + TYPE) !== TYPE_VLAN) return -1;
  return view.getUint16(offset + TAG) & 0x0fff;
}

/** The frame without its outer tag, as the kernel hands it up: a copy, or the frame itself when it has none. */
export function withoutTag(frame: Uint8Array): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (vlanInside(view, 0, frame.length) < 0) return frame;
  const out = new Uint8Array(frame.length - VLAN_TAG_LENGTH);
  out.set(frame.subarray(0, TYPE));
  out.set(frame.subarray(TYPE + VLAN_TAG_LENGTH), TYPE);
  return out;
}

/** A copy of the frame with a tag of this VLAN; the frame itself for VLAN 0. The frame must have a whole header. */
export function withTag(frame: Uint8Array, vlan: number): Uint8Array {
  if (vlan === 0) return frame;
  const out = new Uint8Array(frame.length + VLAN_TAG_LENGTH);
  out.set(frame.subarray(0, TYPE));
  out.set([TYPE_VLAN >> 8, TYPE_VLAN & 0xff, vlan >> 8, vlan & 0xff], TYPE);
  out.set(frame.subarray(TYPE), TYPE + VLAN_TAG_LENGTH);
  return out;
}

/** Copies a six-byte address between views; they may be the same one. */
export function copyMac(from: DataView, fromOffset: number, to: DataView, toOffset: number): void {
  const high = from.getUint32(fromOffset);
  const low = from.getUint16(fromOffset + 4);
  to.setUint32(toOffset, high);
  to.setUint16(toOffset + 4, low);
}

export function writeMac(view: DataView, offset: number, mac: Uint8Array): void {
  for (let i = 0; i < 6; i++) view.setUint8(offset + i, mac[i]);
}

export function macEquals(view: DataView, offset: number, mac: Uint8Array): boolean {
  for (let i = 0; i < 6; i++) if (view.getUint8(offset + i) !== mac[i]) return false;
  return true;
}

/** Writes source and type; the destination is the caller's, who has it in one of several forms. Returns the length. */
export function emitEthernet(view: DataView, offset: number, source: Uint8Array, type: number): number {
  writeMac(view, offset + SOURCE, source);
  view.setUint16(offset + TYPE, type);
  return ETHERNET_LENGTH;
}

export function emitBroadcastDestination(view: DataView, offset: number): void {
  view.setUint32(offset, 0xffffffff);
  view.setUint16(offset + 4, 0xffff);
}
