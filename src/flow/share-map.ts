/**
 * Who writes which tunnel of a table that several designators share. Every record has a byte, the number of the stream
 * that it belongs to, and every stream a byte that says whether this process writes it; so all tunnels of a member that
 * died become ours by one store. The main thread writes both; shards give records that they make to stream 0.
 */
export const STREAM_OURS = 0;
/** Tunnels that a process before this one left: nobody's until it is known whether another member has taken them. */
export const STREAM_FORMER = 255;
/** Streams that can be told apart, the two above not counted. */
export const STREAM_NUMBERS = 254;

const STREAMS = 256;

export class ShareMap {
  readonly #written: Uint8Array;
  readonly #streams: Uint8Array;

  static byteLength(recordCount: number): number {
    return STREAMS + recordCount;
  }

  /** Over the whole buffer, zeroed for a new map: then everything is somebody else's until `write(STREAM_OURS)`. */
  constructor(
    readonly buffer: SharedArrayBuffer,
    recordCount: number,
  ) {
    this.#written = new Uint8Array(buffer, 0, STREAMS);
    this.#streams = new Uint8Array(buffer, STREAMS, recordCount);
  }

  /** Another member writes this tunnel, or it is not known who does: nobody changes it here but by what is heard of it. */
  isForeign(record: number): boolean {
    return this.#written[this.#streams[record]] === 0;
  }

  streamOf(record: number): number {
    return this.#streams[record];
  }

  /** The record is the stream's from now on. */
  give(record: number, stream: number): void {
    this.#streams[record] = stream;
  }

  writes(stream: number): boolean {
    return this.#written[stream] !== 0;
  }

  /** This process writes the stream, or no longer does. */
  setWritten(stream: number, written: boolean): void {
    Atomics.store(this.#written, stream, written ? 1 : 0);
  }

  /** Records of one stream become another's. */
  move(from: number, to: number): number {
    let moved = 0;
    for (let record = this.#streams.indexOf(from); record >= 0; record = this.#streams.indexOf(from, record + 1)) {
      this.#streams[record] = to;
      moved++;
    }
    return moved;
  }

  /** Of every record of the table, whether it is in use or not. */
  fill(stream: number): void {
    this.#streams.fill(stream);
  }
}
