/**
 * Where the log goes: a descriptor, written behind the back of whoever logs. Neither a reader that does not read nor a
 * full disk stops or ends the process: lines wait, up to a limit, and beyond it are lost and counted.
 */
import fs from 'node:fs';

/** Milliseconds until a write that was refused is tried again. */
const RETRY_MS = 100;
/** A chunk of lines that is written at once, in characters. */
const CHUNK_LIMIT = 65_536;
/** Tries of the last flush to write to a reader that is slow, RETRY_MS / 10 apart. */
const FLUSH_TRIES = 100;

export interface LogDestinationOptions {
  readonly fd: number;
  /** Characters that may wait. */
  readonly backlog: number;
  readonly write?: (
    fd: number,
    bytes: Uint8Array,
    done: (error: NodeJS.ErrnoException | null, n: number) => void,
  ) => void;
  readonly writeSync?: (fd: number, bytes: Uint8Array) => number;
}

export class LogDestination {
  /** Lines that are lost, and writes that were refused for another reason than a slow reader. */
  lost = 0;
  refused = 0;
  readonly #o: Required<LogDestinationOptions>;
  #lines: string[] = [];
  #waiting = 0;
  /** What is being written, or could not be. */
  #rest: Uint8Array | null = null;
  #underWay: Uint8Array | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isGone = false;
  #trouble: string | null = null;

  constructor(options: LogDestinationOptions) {
    this.#o = { write: (fd, bytes, done) => fs.write(fd, bytes, done), writeSync: fs.writeSync, ...options };
  }

  /** Why lines cannot be written now (`ENOSPC: no space left on device, write`), null: they can. */
  get trouble(): string | null {
    return this.#trouble;
  }

  write(line: string): void {
    if (this.#isGone) return;
    if (this.#waiting + line.length > this.#o.backlog) {
      this.lost++;
      return;
    }
    this.#lines.push(line);
    this.#waiting += line.length;
    if (this.#underWay === null && this.#timer === null) this.#next();
  }

  /** All that waits, now; what cannot be written by then is left. */
  flushSync(): void {
    // A write under way has its bytes already, and they are not ours to write again.
    if (this.#rest === this.#underWay) this.#rest = null;
    for (let tries = 0; tries < FLUSH_TRIES && !this.#isGone && this.#take(); ) {
      try {
        this.#written(this.#o.writeSync(this.#o.fd, this.#rest as Uint8Array));
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== 'EAGAIN' && code !== 'EBUSY') return this.#fail(error as NodeJS.ErrnoException);
        tries++;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS / 10);
      }
    }
  }

  #next(): void {
    if (!this.#take()) return;
    const bytes = this.#rest as Uint8Array;
    this.#underWay = bytes;
    this.#o.write(this.#o.fd, bytes, (error, n) => {
      this.#underWay = null;
      if (this.#isGone) return;
      if (error === null) {
        // Not when a flush has gone on without it.
        if (this.#rest === bytes) this.#written(n);
        return this.#next();
      }
      if (error.code !== 'EAGAIN' && error.code !== 'EBUSY') this.#fail(error);
      if (this.#isGone) return;
      this.#timer = setTimeout(() => {
        this.#timer = null;
        if (this.#underWay === null) this.#next();
      }, RETRY_MS);
      this.#timer.unref();
    });
  }

  /** False: nothing is left to write. */
  #take(): boolean {
    if (this.#rest !== null) return true;
    if (this.#lines.length === 0) return false;
    let length = 0;
    let count = 0;
    while (count < this.#lines.length && (count === 0 || length + this.#lines[count].length <= CHUNK_LIMIT))
      length += this.#lines[count++].length;
    this.#rest = Buffer.from(this.#lines.splice(0, count).join(''));
    this.#waiting -= length;
    return true;
  }

  #written(count: number): void {
    const rest = this.#rest as Uint8Array;
    this.#rest = count < rest.length ? rest.subarray(count) : null;
    this.#trouble = null;
  }

  #fail(error: NodeJS.ErrnoException): void {
    // A reader that has gone ends the log and is no error.
    if (error.code === 'EPIPE') {
      this.#isGone = true;
      this.#lines = [];
      this.#rest = null;
      return;
    }
    this.refused++;
    this.#trouble = error.message;
  }
}
