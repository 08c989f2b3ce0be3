/**
 * Tells a LAN by whom addresses are to be found: unsolicited ARP announcements (RFC 5227 §2.3) and neighbour
 * advertisements (RFC 4861 §7.2.6), as frames over a packet socket.
 */
import { emitArpAnnouncement } from '../wire/arp.js';
import { ipv6SourceOffset } from '../wire/ipv6.js';
import { emitAdvertisement, emitAllNodesDestination, NA_OVERRIDE } from '../wire/icmpv6.js';
import type { NativeAddon } from './native.js';

type Words = readonly [number, number, number, number];

/** More than either frame needs. */
const FRAME_ROOM = 128;
const ETHERNET_LENGTH = 14;
/** A send that the device does not take in so long is given up. */
const SECONDS = 0.2;

/**
 * Sends one announcement for each address from the interface's own link-layer address. Returns how many left. Errors:
 * those of the system, with its `code`.
 */
export function announceAddresses(
  addon: Pick<NativeAddon, 'Flood' | 'interfaceInfo'>,
  device: string,
  addresses: readonly Words[],
): number {
  const { mac } = addon.interfaceInfo(device);
  const v4 = addresses.filter(isMapped).map((words) => announcement(words, mac));
  const v6 = addresses.filter((words) => !isMapped(words)).map((words) => announcement(words, mac));
  return sendAll(addon, device, v4) + sendAll(addon, device, v6);
}

/** The frame that tells everybody on the LAN that `mac` has the address. */
export function announcement(words: Words, mac: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(FRAME_ROOM);
  const view = new DataView(bytes.buffer);
  if (isMapped(words)) return bytes.slice(0, emitArpAnnouncement(view, 0, mac, words[3]));
  emitAllNodesDestination(view, 0);
  const source = ipv6SourceOffset(ETHERNET_LENGTH);
  words.forEach((word, w) => {
    view.setUint32(source + w * 4, word);
  });
  return bytes.slice(0, emitAdvertisement(view, 0, mac, NA_OVERRIDE));
}

const isMapped = (words: Words): boolean => words[0] === 0 && words[1] === 0 && words[2] === 0xffff;

/** Frames of one length. */
function sendAll(addon: Pick<NativeAddon, 'Flood'>, device: string, frames: readonly Uint8Array[]): number {
  if (frames.length === 0) return 0;
  const frameLength = frames[0].length;
  const together = new Uint8Array(frames.length * frameLength);
  frames.forEach((frame, i) => {
    together.set(frame, i * frameLength);
  });
  const sender = new addon.Flood({ device, frames: together, frameLength, count: frames.length });
  try {
    return sender.run({ seconds: SECONDS, limit: frames.length }).sent;
  } finally {
    sender.close();
  }
}
