/** What tells a repeated request from another one with the same id. */
import { RECORD, RECORD_WORDS, type TableMemory } from '../flow/layout.js';
import type { Batch } from './batch.js';

const UDP_HEADER_LENGTH = 8;

/** Prints of the requests that made tunnels here. A record that is another tunnel's by now, however it came, has none. */
export class RequestPrints {
  readonly #prints: Int32Array;
  /** When the tunnels of the prints were made, as their records say. */
  readonly #created: Int32Array;

  constructor(readonly memory: Pick<TableMemory, 'records' | 'layout'>) {
    this.#prints = new Int32Array(memory.layout.recordCount);
    this.#created = new Int32Array(memory.layout.recordCount);
  }

  keep(record: number, print: number): void {
    this.#prints[record] = print;
    this.#created[record] = this.#createdOf(record);
  }

  /** It is known that the tunnel's request was another one. */
  differs(record: number, print: number): boolean {
    const known = this.#prints[record];
    return known !== 0 && known !== print && this.#created[record] === this.#createdOf(record);
  }

  #createdOf(record: number): number {
    return this.memory.records[record * RECORD_WORDS + RECORD.created];
  }
}

/** FNV-1a over the message behind the UDP header; never 0. */
export function requestPrint(batch: Batch, i: number): number {
  const { bytes } = batch;
  const end = batch.end[i];
  let hash = 0x811c9dc5 | 0;
  for (let at = batch.l4[i] + UDP_HEADER_LENGTH; at < end; at++) hash = Math.imul(hash ^ bytes[at], 0x01000193);
  return hash === 0 ? 1 : hash;
}
