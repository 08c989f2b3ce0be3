/**
 * Ports that servers answer from besides their configured ones (RFC 2661 §8.1). With AF_PACKET the host's drop filter
 * must know such a port before a packet that reveals it goes on (DESIGN §8), so its first message is held until the
 * main thread has registered the port. Other adapters have no such filter: every port is fine at once.
 */
import { FRAME_HANDED } from '../io/port.js';
import type { Batch } from './batch.js';
import type { Directory } from './directory.js';
import { HeldFrames } from './held.js';

/** Registered ports remembered at most; beyond it new ones are refused (they would be held for ever otherwise). */
export const FLOATING_LIMIT = 65536;

export class FloatingPorts {
  readonly #registered = new Set<number>();
  readonly #asked = new Set<number>();
  readonly held = new HeldFrames();
  /** Places (address index << 16 | port) to be registered by the main thread; taken and emptied by the shard. */
  wanted: number[] = [];

  constructor(readonly filterNeeded: boolean) {}

  /** 0: go on. 1: the frame is held. −1: it cannot be held. */
  check(batch: Batch, i: number, address: number, port: number, directory: Directory): number {
    if (!this.filterNeeded || directory.serverAt(address, port) !== null) return 0;
    const place = (address << 16) | port;
    if (this.#registered.has(place)) return 0;
    if (!this.held.hold(batch, i, place)) return -1;
    if (!this.#asked.has(place)) {
      this.#asked.add(place);
      this.wanted.push(place);
    }
    return 1;
  }

  /** The place will be used: the filter should know it, if there is one, and nothing waits for that. */
  ask(place: number): void {
    if (!this.filterNeeded || this.#registered.has(place) || this.#asked.has(place)) return;
    this.#asked.add(place);
    this.wanted.push(place);
  }

  /** The main thread says that these ports are in the filter now. */
  registered(places: readonly number[]): void {
    for (const place of places) {
      this.#asked.delete(place);
      if (this.#registered.size < FLOATING_LIMIT) this.#registered.add(place);
    }
  }

  /** The main thread took these out of the filter: no tunnel uses them. */
  forget(places: readonly number[]): void {
    for (const place of places) this.#registered.delete(place);
  }

  /** Puts held frames whose port is registered back into the batch. */
  release(batch: Batch): void {
    if (this.held.count > 0) this.held.release(batch, (place) => this.#registered.has(place), FRAME_HANDED);
  }
}
