/**
 * pcap files, https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/ . All four kinds are read (microseconds and
 * nanoseconds, both byte orders); nanoseconds, little-endian are written.
 *
 *   file    | magic (4) | version 2.4 (2+2) | 0 (8) | snap length (4) | FCS, link type (4) |
 *   record  | seconds (4) | µs or ns (4) | captured length (4) | original length (4) | bytes …
 *
 * A file may come in pieces: `readPcapRecord` says 0 when it needs more bytes.
 */
export const PCAP_HEADER_LENGTH = 24;
export const PCAP_RECORD_HEADER_LENGTH = 16;
export const LINK_TYPE_ETHERNET = 1;
/** Longest frame that is read; that of libpcap. What claims to be longer is no record. */
export const PCAP_FRAME_MAX = 262_144;

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const MAGIC_PCAPNG = 0x0a0d0d0a;

/** The bytes are no pcap file, or one that ends too early. `position` is a byte offset in the file. */
export class PcapError extends Error {
  override readonly name = 'PcapError';

  constructor(
    message: string,
    readonly position: number,
  ) {
    super(message);
  }
}

export interface PcapFormat {
  readonly littleEndian: boolean;
  readonly nanoseconds: boolean;
  readonly linkType: number;
  readonly snapLength: number;
}

/** One record; overwritten by every read. */
export interface PcapRecord {
  /** Unix time: whole seconds and nanoseconds. */
  seconds: number;
  nanoseconds: number;
  /** Byte offset of the frame in the view that was read. */
  offset: number;
  length: number;
  /** Bytes of the frame on the wire; more than `length` when the capture cut it. */
  originalLength: number;
}

export function newPcapRecord(): PcapRecord {
  return { seconds: 0, nanoseconds: 0, offset: 0, length: 0, originalLength: 0 };
}

/** Reads the file header at `offset`. Throws PcapError. */
export function readPcapHeader(view: DataView, offset: number, end: number): PcapFormat {
  if (end - offset < PCAP_HEADER_LENGTH) {
    throw new PcapError(
      `the file ends inside the pcap header, after ${end - offset} of ${PCAP_HEADER_LENGTH} bytes`,
      end - offset,
    );
  }
  const big = view.getUint32(offset);
  const little = view.getUint32(offset, true);
  const littleEndian = little === MAGIC_MICROSECONDS || little === MAGIC_NANOSECONDS;
  const magic = littleEndian ? little : big;
  if (magic === MAGIC_PCAPNG) throw new PcapError('this is a pcapng file; convert it with `editcap -F pcap`', 0);
  if (magic !== MAGIC_MICROSECONDS && magic !== MAGIC_NANOSECONDS) {
    throw new PcapError(`not a pcap file: it begins with 0x${big.toString(16).padStart(8, '0')}`, 0);
  }
  return {
    littleEndian,
    nanoseconds: magic === MAGIC_NANOSECONDS,
    linkType: view.getUint32(offset + 20, littleEndian) & 0xffff, // the upper half tells of a frame check sequence
    snapLength: view.getUint32(offset + 16, littleEndian),
  };
}

/**
 * Reads the record at `offset`. Returns its length with its header, or 0 when it is not whole. `base` is what to add
 * to `offset` for the position in the file that an error names. Throws PcapError.
 */
export function readPcapRecord(
  view: DataView,
  offset: number,
  end: number,
  format: PcapFormat,
  record: PcapRecord,
  base = 0,
): number {
  if (end - offset < PCAP_RECORD_HEADER_LENGTH) return 0;
  const little = format.littleEndian;
  const length = view.getUint32(offset + 8, little);
  if (length > PCAP_FRAME_MAX) {
    throw new PcapError(
      `byte ${base + offset}: a frame of ${length} bytes; ${PCAP_FRAME_MAX} is the limit`,
      base + offset,
    );
  }
  if (end - offset < PCAP_RECORD_HEADER_LENGTH + length) return 0;
  const fraction = view.getUint32(offset + 4, little);
  record.seconds = view.getUint32(offset, little);
  record.nanoseconds = format.nanoseconds ? fraction : fraction * 1000;
  record.offset = offset + PCAP_RECORD_HEADER_LENGTH;
  record.length = length;
  record.originalLength = view.getUint32(offset + 12, little);
  return PCAP_RECORD_HEADER_LENGTH + length;
}

/** All frames of a whole file, as copies with their Unix time in seconds. Throws PcapError. */
export function readPcap(
  file: Uint8Array,
): { readonly seconds: number; readonly frame: Uint8Array; readonly originalLength: number }[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const format = readPcapHeader(view, 0, file.length);
  const record = newPcapRecord();
  const frames = [];
  for (let at = PCAP_HEADER_LENGTH; at < file.length; ) {
    const length = readPcapRecord(view, at, file.length, format, record);
    if (length === 0) throw truncatedPcap(at, file.length);
    frames.push({
      seconds: record.seconds + record.nanoseconds / 1e9,
      frame: new Uint8Array(file.subarray(record.offset, record.offset + record.length)), // a Buffer’s `slice` is no copy
      originalLength: record.originalLength,
    });
    at += length;
  }
  return frames;
}

/** The error for a file whose last record, at `position`, is not whole. */
export function truncatedPcap(position: number, fileLength: number): PcapError {
  return new PcapError(`the file ends at byte ${fileLength}, inside the record at byte ${position}`, position);
}

/** Writes a file header: nanoseconds, little-endian, Ethernet. Returns 24. */
export function emitPcapHeader(view: DataView, offset: number): number {
  view.setUint32(offset, MAGIC_NANOSECONDS, true);
  view.setUint16(offset + 4, 2, true);
  view.setUint16(offset + 6, 4, true);
  view.setUint32(offset + 8, 0);
  view.setUint32(offset + 12, 0);
  view.setUint32(offset + 16, PCAP_FRAME_MAX, true);
  view.setUint32(offset + 20, LINK_TYPE_ETHERNET, true);
  return PCAP_HEADER_LENGTH;
}

/** Writes a record header; the frame's `length` bytes go behind it. Returns 16. */
export function emitPcapRecord(
  view: DataView,
  offset: number,
  seconds: number,
  nanoseconds: number,
  length: number,
  originalLength = length,
): number {
  view.setUint32(offset, seconds, true);
  view.setUint32(offset + 4, nanoseconds, true);
  view.setUint32(offset + 8, length, true);
  view.setUint32(offset + 12, originalLength, true);
  return PCAP_RECORD_HEADER_LENGTH;
}
