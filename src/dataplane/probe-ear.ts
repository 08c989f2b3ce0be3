/**
 * Hears the answers to the active check among what servers send: they are addressed to the host, at the port that the
 * check asks from, and belong to no tunnel. The main thread gets their payload; bounded, the rest is dropped.
 */
import { type Batch, KEY_STRIDE } from './batch.js';

/** Where the check asks from. */
export interface ProbePlace {
  readonly port: number;
  /** Address words, of either family. */
  readonly addresses: readonly (readonly number[])[];
}

/** Answers that wait for the main thread. */
const LIMIT = 256;
const PAYLOAD_LIMIT = 1024;
const UDP_HEADER = 8;

export class ProbeEar {
  #place: ProbePlace | null = null;
  #heard: Uint8Array[] = [];

  setPlace(place: ProbePlace | null): void {
    this.#place = place;
  }

  /** True: frame `i`, from a server and of no tunnel, is an answer to the check and has been taken. */
  take(batch: Batch, i: number): boolean {
    const place = this.#place;
    if (place === null) return false;
    const { keys, l4, end, bytes } = batch;
    const row = i * KEY_STRIDE;
    if (keys[row + 4] >>> 16 !== place.port || !place.addresses.some((words) => isAt(keys, row, words))) return false;
    const from = l4[i] + UDP_HEADER;
    if (this.#heard.length < LIMIT && end[i] - from <= PAYLOAD_LIMIT && end[i] > from)
      this.#heard.push(bytes.slice(from, end[i]));
    return true;
  }

  /** Payloads that came since the last call. */
  takeHeard(): Uint8Array[] {
    const heard = this.#heard;
    if (heard.length > 0) this.#heard = [];
    return heard;
  }
}

function isAt(keys: Int32Array, row: number, words: readonly number[]): boolean {
  for (let w = 0; w < 4; w++) if (keys[row + w] !== (words[w] | 0)) return false;
  return true;
}
