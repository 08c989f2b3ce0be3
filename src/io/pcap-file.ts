/**
 * Captures on disk, in pieces and synchronously. Every failure is a DesignatorError that names the file: TD_USAGE for
 * what the caller can mend (no such file, no pcap, cut off), TD_NO_PERMISSION, TD_UNAVAILABLE for the rest (disk full).
 */
import fs from 'node:fs';
import { DesignatorError, type ErrorCode } from '../errors.js';
import { VLAN_TAG_LENGTH } from '../wire/ethernet.js';
import {
  emitPcapHeader,
  emitPcapRecord,
  LINK_TYPE_ETHERNET,
  newPcapRecord,
  PCAP_FRAME_MAX,
  PCAP_HEADER_LENGTH,
  PCAP_RECORD_HEADER_LENGTH,
  PcapError,
  type PcapFormat,
  readPcapHeader,
  readPcapRecord,
  truncatedPcap,
} from '../wire/pcap.js';

const READ_BUFFER = 1 << 20; // holds the longest record
const WRITE_BUFFER = 1 << 16;

export class PcapReader {
  readonly record = newPcapRecord();
  readonly bytes = new Uint8Array(READ_BUFFER);
  readonly #view = new DataView(this.bytes.buffer);
  readonly #fd: number;
  readonly #format: PcapFormat;
  #at = 0;
  #end = 0;
  /** Position of bytes[0] in the file. */
  #base = 0;
  #exhausted = false;
  #closed = false;

  constructor(readonly path: string) {
    this.#fd = attempt(path, 'read', () => fs.openSync(path, 'r'));
    try {
      this.#fill();
      this.#format = this.#parse(() => readPcapHeader(this.#view, 0, this.#end));
      if (this.#format.linkType !== LINK_TYPE_ETHERNET) {
        throw new DesignatorError(
          'TD_USAGE',
          `${path}: link type ${this.#format.linkType}; only Ethernet (1) can be read`,
          {
            path,
            linkType: this.#format.linkType,
          },
        );
      }
      this.#at = PCAP_HEADER_LENGTH;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Reads the next record into `record`; its bytes stand in `bytes` until the next call. False at the end. */
  next(): boolean {
    let length = this.#read();
    if (length === 0 && !this.#exhausted) {
      this.#fill();
      length = this.#read();
    }
    if (length > 0) {
      this.#at += length;
      return true;
    }
    if (this.#at === this.#end) return false;
    return this.#parse(() => {
      throw truncatedPcap(this.#base + this.#at, this.#base + this.#end);
    });
  }

  sameFile(other: fs.Stats): boolean {
    return isSameFile(this.#fd, other);
  }

  close(): void {
    if (!this.#closed) fs.closeSync(this.#fd);
    this.#closed = true;
  }

  #read(): number {
    return this.#parse(() => readPcapRecord(this.#view, this.#at, this.#end, this.#format, this.record, this.#base));
  }

  /** Moves what is left to the front and fills the rest, as far as the file goes. */
  #fill(): void {
    this.bytes.copyWithin(0, this.#at, this.#end);
    this.#base += this.#at;
    this.#end -= this.#at;
    this.#at = 0;
    while (this.#end < READ_BUFFER && !this.#exhausted) {
      const count = attempt(this.path, 'read', () =>
        fs.readSync(this.#fd, this.bytes, this.#end, READ_BUFFER - this.#end, null),
      );
      this.#end += count;
      this.#exhausted = count === 0;
    }
  }

  #parse<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof PcapError)) throw error;
      throw new DesignatorError(
        'TD_USAGE',
        `${this.path}: ${error.message}`,
        { path: this.path, position: error.position },
        error,
      );
    }
  }
}

export class PcapWriter {
  readonly #fd: number;
  readonly #buffer = new Uint8Array(WRITE_BUFFER + PCAP_RECORD_HEADER_LENGTH + PCAP_FRAME_MAX + VLAN_TAG_LENGTH);
  readonly #view = new DataView(this.#buffer.buffer);
  #length: number;
  #closed = false;

  /** Replaces the file, which must be none of the `others` that are open. */
  constructor(
    readonly path: string,
    others: readonly { readonly path: string; sameFile(stats: fs.Stats): boolean }[],
  ) {
    // Opened without truncation first: the input must not be emptied before it is known to be another file.
    this.#fd = attempt(path, 'write', () => fs.openSync(path, fs.constants.O_WRONLY | fs.constants.O_CREAT, 0o644));
    try {
      const stats = fs.fstatSync(this.#fd);
      const other = stats.isFile() ? others.find((file) => file.sameFile(stats)) : undefined;
      if (other !== undefined) {
        throw new DesignatorError('TD_USAGE', `${path} is the same file as ${other.path}; write to another one`, {
          path,
        });
      }
      if (stats.isFile()) attempt(path, 'write', () => fs.ftruncateSync(this.#fd));
    } catch (error) {
      fs.closeSync(this.#fd);
      throw error;
    }
    this.#length = emitPcapHeader(this.#view, 0);
  }

  sameFile(other: fs.Stats): boolean {
    return isSameFile(this.#fd, other);
  }

  /** Frames are at most PCAP_FRAME_MAX bytes and a tag. */
  write(seconds: number, nanoseconds: number, frame: Uint8Array, originalLength = frame.length): void {
    this.#length += emitPcapRecord(this.#view, this.#length, seconds, nanoseconds, frame.length, originalLength);
    this.#buffer.set(frame, this.#length);
    this.#length += frame.length;
    if (this.#length >= WRITE_BUFFER) this.flush();
  }

  flush(): void {
    let written = 0;
    while (written < this.#length) {
      written += attempt(this.path, 'write', () =>
        fs.writeSync(this.#fd, this.#buffer, written, this.#length - written),
      );
    }
    this.#length = 0;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.flush();
    } finally {
      fs.closeSync(this.#fd);
    }
  }
}

function isSameFile(fd: number, other: fs.Stats): boolean {
  const own = fs.fstatSync(fd);
  return own.dev === other.dev && own.ino === other.ino;
}

const CODE_OF: Record<string, ErrorCode> = {
  ENOENT: 'TD_USAGE',
  ENOTDIR: 'TD_USAGE',
  EISDIR: 'TD_USAGE',
  EACCES: 'TD_NO_PERMISSION',
  EPERM: 'TD_NO_PERMISSION',
  EROFS: 'TD_NO_PERMISSION',
};

function attempt<T>(path: string, verb: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    throw new DesignatorError(
      CODE_OF[code] ?? 'TD_UNAVAILABLE',
      `cannot ${verb} ${path}: ${message}`,
      { path, code },
      error,
    );
  }
}
