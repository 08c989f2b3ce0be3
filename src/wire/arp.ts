/**
 * ARP for IPv4 over Ethernet: RFC 826, probes and announcements of RFC 5227.
 *
 *   | hardware 1 (2) | protocol 0x0800 (2) | 6 | 4 | operation (2) |
 *   | sender MAC (6) | sender IP (4) | target MAC (6) | target IP (4) |
 *
 * `checkArp` first; after a positive answer every getter is safe. Padding behind the packet is no part of it.
 */
import { emitBroadcastDestination, emitEthernet, TYPE_ARP, writeMac } from './ethernet.js';

export const ARP_LENGTH = 28;
export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;

const HARDWARE_AND_PROTOCOL = 0x00010800;
const LENGTHS = 0x0604;
const OPERATION = 6;
const SENDER_MAC = 8;
const SENDER_IP = 14;
const TARGET_MAC = 18;
const TARGET_IP = 24;

/** 28 for a request or reply that maps IPv4 to Ethernet, else 0. */
export function checkArp(view: DataView, offset: number, end: number): number {
  if (end - offset < ARP_LENGTH) return 0;
  if (view.getUint32(offset) !== HARDWARE_AND_PROTOCOL || view.getUint16(offset + 4) !== LENGTHS) return 0;
  const operation = view.getUint16(offset + OPERATION);
  return operation === ARP_REQUEST || operation === ARP_REPLY ? ARP_LENGTH : 0;
}

export function arpOperation(view: DataView, offset: number): number {
  return view.getUint16(offset + OPERATION);
}

/** Byte offset of the sender's MAC. */
export function arpSenderMacOffset(offset: number): number {
  return offset + SENDER_MAC;
}

/** Signed word. 0: a probe, whose sender does not have the address yet (RFC 5227 §2.1.1). */
export function arpSenderIp(view: DataView, offset: number): number {
  return view.getInt32(offset + SENDER_IP);
}

/** Signed word. */
export function arpTargetIp(view: DataView, offset: number): number {
  return view.getInt32(offset + TARGET_IP);
}

/** Writes the packet but for the target's MAC, which the caller copies to `arpTargetMacOffset`. Returns the length. */
export function emitArp(
  view: DataView,
  offset: number,
  operation: number,
  senderMac: Uint8Array,
  senderIp: number,
  targetIp: number,
): number {
  view.setUint32(offset, HARDWARE_AND_PROTOCOL);
  view.setUint16(offset + 4, LENGTHS);
  view.setUint16(offset + OPERATION, operation);
  writeMac(view, offset + SENDER_MAC, senderMac);
  view.setInt32(offset + SENDER_IP, senderIp);
  view.setInt32(offset + TARGET_IP, targetIp);
  return ARP_LENGTH;
}

export function arpTargetMacOffset(offset: number): number {
  return offset + TARGET_MAC;
}

/** A whole broadcast frame that announces `ip` at `mac`: a request for one's own address (RFC 5227 §2.3). */
export function emitArpAnnouncement(view: DataView, offset: number, mac: Uint8Array, ip: number): number {
  emitBroadcastDestination(view, offset);
  const arp = offset + emitEthernet(view, offset, mac, TYPE_ARP);
  emitArp(view, arp, ARP_REQUEST, mac, ip, ip);
  view.setUint32(arp + TARGET_MAC, 0);
  view.setUint16(arp + TARGET_MAC + 4, 0);
  return arp + ARP_LENGTH - offset;
}
