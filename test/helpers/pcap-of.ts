/** A capture file in memory, for programs that read one. */
import { emitPcapHeader, emitPcapRecord, PCAP_HEADER_LENGTH, PCAP_RECORD_HEADER_LENGTH } from '../../src/wire/pcap.js';
import { viewOf } from './packet-builder.js';

export const LINK_TYPE_ETHERNET = 1;
/** Frames begin with FF 03. */
export const LINK_TYPE_PPP = 9;
const LINK_TYPE_AT = 20;

/** One frame a second. */
export function pcapOf(frames: readonly Uint8Array[], linkType = LINK_TYPE_ETHERNET): Uint8Array {
  const length = frames.reduce((sum, frame) => sum + PCAP_RECORD_HEADER_LENGTH + frame.length, PCAP_HEADER_LENGTH);
  const file = new Uint8Array(length);
  const view = viewOf(file);
  let at = emitPcapHeader(view, 0);
  view.setUint32(LINK_TYPE_AT, linkType, true);
  for (const [n, frame] of frames.entries()) {
    at += emitPcapRecord(view, at, n, 0, frame.length);
    file.set(frame, at);
    at += frame.length;
  }
  return file;
}
