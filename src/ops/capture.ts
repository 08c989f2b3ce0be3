/**
 * The main-thread side of `designator capture`: frames go in, every open capture gets them as one pcap stream.
 *
 * Which frames a capture wants is decided where frames are copied (the shard): the role tells the shards the list of
 * `captures()` whenever `onChange` fires, a shard sets one bit for each capture that wants the frame, and the hub
 * only fans out. Nothing here can slow a shard down: a consumer that does not keep up loses frames and is told how many.
 *
 * Format: https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/ , microseconds, LINKTYPE_ETHERNET, little-endian; or
 * pcapng (wire/pcapng.ts), where a frame's comment says what was decided about it.
 */
import { DesignatorError } from '../errors.js';
import {
  PCAPNG_BLOCK,
  PCAPNG_BLOCK_HEADER_LENGTH,
  pcapngInterface,
  pcapngPacket,
  pcapngSection,
  pcapngStatistics,
  readPcapngBlock,
} from '../wire/pcapng.js';
import type { CaptureStream } from './appliance.js';

export const PCAP_HEADER_LENGTH = 24;
export const PCAP_RECORD_HEADER_LENGTH = 16;
const PCAP_MAGIC_MICROSECONDS = 0xa1b2c3d4;
const LINKTYPE_ETHERNET = 1;
const SNAP_LENGTH = 262_144;

/** Captures at one time: one bit each in the mask that travels with a frame. */
export const CAPTURES_MAX = 16;
export const ALL_CAPTURES = 2 ** CAPTURES_MAX - 1;
/** Bytes kept for one consumer that is slower than its frames. */
export const BUFFER_LIMIT_BYTES = 4 * 1024 * 1024;
/** Records are joined into chunks of about this size, so that a busy capture is not one write a frame. */
const CHUNK_BYTES = 64 * 1024;

export const CAPTURE_FORMATS = ['pcap', 'pcapng'] as const;
export type CaptureFormat = (typeof CAPTURE_FORMATS)[number];

/** What is known of a frame besides its bytes. */
export interface FrameNote {
  /** Index in the interfaces of the hub. */
  readonly port: number;
  /** The copy shows the frame as it leaves; else as it came. */
  readonly outbound: boolean;
  readonly comment: string;
}

export interface CaptureInterface {
  readonly name: string;
  readonly description: string;
}

const NO_NOTE: FrameNote = { port: 0, outbound: false, comment: '' };

export interface CaptureFilter {
  readonly tunnel?: number;
  readonly client?: string;
}

/** An open capture as the shards need to know it: bit `slot` of a frame's mask means "this capture wants it". */
export interface OpenCapture {
  readonly slot: number;
  readonly filter: CaptureFilter;
}

export function pcapHeader(): Uint8Array {
  const header = new Uint8Array(PCAP_HEADER_LENGTH);
  const view = new DataView(header.buffer);
  view.setUint32(0, PCAP_MAGIC_MICROSECONDS, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, SNAP_LENGTH, true);
  view.setUint32(20, LINKTYPE_ETHERNET, true);
  return header;
}

/**
 * One record. `seconds` is Unix time with a fraction; `frame` is copied. `originalLength` is the length on the wire
 * when the frame was cut on its way here.
 */
export function pcapRecord(frame: Uint8Array, seconds: number, originalLength = frame.length): Uint8Array {
  const record = new Uint8Array(PCAP_RECORD_HEADER_LENGTH + frame.length);
  const view = new DataView(record.buffer);
  // Rounded as a whole, so that 0.9999999 s becomes the next second and never a million microseconds.
  const microseconds = Math.round(seconds * 1e6);
  view.setUint32(0, Math.floor(microseconds / 1e6), true);
  view.setUint32(4, microseconds % 1e6, true);
  view.setUint32(8, frame.length, true);
  view.setUint32(12, originalLength, true);
  record.set(frame, PCAP_RECORD_HEADER_LENGTH);
  return record;
}

/** What a pcapng file begins with. */
export function pcapngHeader(interfaces: readonly CaptureInterface[]): Uint8Array {
  return Buffer.concat([
    pcapngSection('tunnel-designator'),
    ...interfaces.map(({ name, description }) => pcapngInterface(name, description, SNAP_LENGTH)),
  ]);
}

/** Fans frames out to the open captures. Owned by the main thread. */
export class CaptureHub {
  readonly #consumers = new Map<number, Consumer>();
  readonly #onChange: (captures: readonly OpenCapture[]) => void;
  readonly #bufferLimit: number;
  readonly #interfaces: readonly CaptureInterface[];
  #flushing = false;

  constructor(
    options: {
      onChange?: (captures: readonly OpenCapture[]) => void;
      bufferLimitBytes?: number;
      /** As pcapng names them; a note's `port` is an index. */
      interfaces?: readonly CaptureInterface[];
    } = {},
  ) {
    this.#onChange = options.onChange ?? (() => {});
    this.#bufferLimit = options.bufferLimitBytes ?? BUFFER_LIMIT_BYTES;
    this.#interfaces = options.interfaces ?? [{ name: 'any', description: '' }];
  }

  /** False when nobody captures: the role need not poll the shards then. */
  get active(): boolean {
    return this.#consumers.size > 0;
  }

  captures(): OpenCapture[] {
    return [...this.#consumers.values()].map(({ slot, filter }) => ({ slot, filter }));
  }

  /** Errors: TD_CONFLICT when CAPTURES_MAX captures run already. */
  open(filter: CaptureFilter = {}, format: CaptureFormat = 'pcap'): CaptureStream {
    let slot = 0;
    while (this.#consumers.has(slot)) slot++;
    if (slot === CAPTURES_MAX) {
      throw new DesignatorError('TD_CONFLICT', `${CAPTURES_MAX} captures run already; end one of them first`, {
        limit: CAPTURES_MAX,
      });
    }
    const header = format === 'pcap' ? pcapHeader() : pcapngHeader(this.#interfaces);
    const consumer = new Consumer(slot, filter, format, header, this.#bufferLimit, () => {
      this.#consumers.delete(slot);
      this.#onChange(this.captures());
    });
    this.#consumers.set(slot, consumer);
    this.#onChange(this.captures());
    return consumer;
  }

  /**
   * Gives a frame to every capture whose bit is set in `captures`. The frame may be reused after the call. `describe` is
   * asked when a capture has room for a note.
   */
  publish(
    frame: Uint8Array,
    seconds: number,
    captures = ALL_CAPTURES,
    originalLength = frame.length,
    describe?: () => FrameNote,
  ): void {
    const records: Record<CaptureFormat, Uint8Array | null> = { pcap: null, pcapng: null };
    let taken = false;
    for (const consumer of this.#consumers.values()) {
      if ((captures & (1 << consumer.slot)) === 0) continue;
      if (consumer.format === 'pcap') records.pcap ??= pcapRecord(frame, seconds, originalLength);
      else if (records.pcapng === null) {
        const { port, comment, outbound } = describe?.() ?? NO_NOTE;
        records.pcapng = pcapngPacket(port, seconds, frame, comment, outbound, originalLength);
      }
      consumer.push(records[consumer.format] as Uint8Array);
      taken = true;
    }
    if (!taken || this.#flushing) return;
    // All frames of one poll leave as few chunks: delivery waits until the poll's turn of the event loop is over.
    this.#flushing = true;
    setImmediate(() => this.flush());
  }

  /** Frames that a shard could not hand over (its ring was full) count for every capture that they were meant for. */
  lost(count: number, captures = ALL_CAPTURES): void {
    for (const consumer of this.#consumers.values()) {
      if ((captures & (1 << consumer.slot)) !== 0) consumer.lost(count);
    }
  }

  /** Delivers what waits. Called by itself after `publish`; of use in tests and before an orderly end. */
  flush(): void {
    this.#flushing = false;
    for (const consumer of this.#consumers.values()) consumer.deliver();
  }

  /** Ends every capture. */
  close(): void {
    for (const consumer of [...this.#consumers.values()]) consumer.close();
  }
}

class Consumer implements CaptureStream {
  readonly slot: number;
  readonly filter: CaptureFilter;
  readonly format: CaptureFormat;
  readonly #limit: number;
  readonly #closed: () => void;
  #queue: Uint8Array[];
  #bytes: number;
  #dropped = 0;
  #paused = false;
  #open = true;
  #ended = false;
  #listener: ((chunk: Uint8Array) => void) | null = null;
  #endListener: (() => void) | null = null;

  constructor(
    slot: number,
    filter: CaptureFilter,
    format: CaptureFormat,
    header: Uint8Array,
    limit: number,
    closed: () => void,
  ) {
    this.slot = slot;
    this.filter = filter;
    this.format = format;
    this.#queue = [header];
    this.#bytes = header.length;
    this.#limit = limit;
    this.#closed = closed;
  }

  readonly onData = (listener: (chunk: Uint8Array) => void): void => {
    this.#listener = listener;
    this.deliver();
  };

  readonly onEnd = (listener: () => void): void => {
    this.#endListener = listener;
    if (this.#ended) listener();
  };

  readonly dropped = (): number => this.#dropped;

  push(record: Uint8Array): void {
    if (this.#bytes + record.length > this.#limit) {
      this.#dropped++;
      return;
    }
    this.#queue.push(record);
    this.#bytes += record.length;
  }

  lost(count: number): void {
    this.#dropped += count;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.deliver();
  }

  /** Hands chunks out until the queue is empty or the listener pauses. */
  deliver(): void {
    while (this.#listener !== null && !this.#paused && this.#queue.length > 0) this.#listener(this.#take());
    if (!this.#open && !this.#ended && (this.#queue.length === 0 || this.#listener === null)) {
      this.#ended = true;
      this.#endListener?.();
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#closed();
    if (this.format === 'pcapng' && this.#dropped > 0) {
      const words = `${this.#dropped} frames are missing: the reader was too slow`;
      this.#queue.push(pcapngStatistics(0, Date.now() / 1000, this.#dropped, words));
    }
    this.deliver();
  }

  #take(): Uint8Array {
    let count = 0;
    let length = 0;
    while (count < this.#queue.length && (count === 0 || length + this.#queue[count].length <= CHUNK_BYTES)) {
      length += this.#queue[count].length;
      count++;
    }
    const taken = this.#queue.splice(0, count);
    this.#bytes -= length;
    return count === 1 ? taken[0] : Buffer.concat(taken, length);
  }
}

/**
 * Cuts a byte stream of pcap or pcapng after a number of frames, wherever its chunks are cut.
 * `take` returns the part of the chunk that still belongs to the stream.
 */
export class PcapLimiter {
  readonly #limit: number;
  readonly #format: CaptureFormat;
  readonly #header: Uint8Array;
  /** Bytes of the current record's or block's header that were seen. */
  #headerBytes = 0;
  /** Bytes to pass before the next header: first the file header of pcap, then each record's or block's rest. */
  #skip: number;
  #isFrame = true;
  #records = 0;

  /** `limit` frames; Infinity only counts. */
  constructor(limit: number, format: CaptureFormat = 'pcap') {
    this.#limit = limit;
    this.#format = format;
    this.#header = new Uint8Array(format === 'pcap' ? PCAP_RECORD_HEADER_LENGTH : PCAPNG_BLOCK_HEADER_LENGTH);
    this.#skip = format === 'pcap' ? PCAP_HEADER_LENGTH : 0;
  }

  /** Frames that are complete so far. */
  get records(): number {
    return this.#records;
  }

  get done(): boolean {
    return this.#records >= this.#limit;
  }

  take(chunk: Uint8Array): Uint8Array {
    let offset = 0;
    while (offset < chunk.length && !this.done) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, chunk.length - offset);
        this.#skip -= step;
        offset += step;
        if (this.#skip === 0 && this.#headerBytes === this.#header.length) this.#complete();
        continue;
      }
      this.#header[this.#headerBytes++] = chunk[offset++];
      if (this.#headerBytes === this.#header.length) {
        this.#skip = this.#rest();
        if (this.#skip === 0) this.#complete();
      }
    }
    return offset === chunk.length ? chunk : chunk.subarray(0, offset);
  }

  /** Bytes that follow the header. */
  #rest(): number {
    const view = new DataView(this.#header.buffer);
    if (this.#format === 'pcap') return view.getUint32(8, true);
    const { type, length } = readPcapngBlock(view, 0);
    this.#isFrame = type === PCAPNG_BLOCK.packet;
    return Math.max(0, length - PCAPNG_BLOCK_HEADER_LENGTH);
  }

  #complete(): void {
    if (this.#isFrame) this.#records++;
    this.#headerBytes = 0;
  }
}
