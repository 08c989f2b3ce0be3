/** One RADIUS server as the client sees it: does it answer, and which identifiers are in use towards it. */
import { formatWords, parseAddress } from '../../wire/address.js';
import type { RadiusKind, RadiusServerOptions } from './types.js';

/** The identifier is one byte, for each pair of our port and the server's (RFC 2865 §3). */
const IDS = 256;

/** What `show` and the metrics tell of a server. */
export interface RadiusServerRow {
  readonly server: string;
  readonly kind: RadiusKind;
  readonly address: string;
  readonly port: number;
  readonly state: 'up' | 'down';
  readonly pending: number;
  readonly requests: number;
  readonly repetitions: number;
  readonly answers: number;
  readonly timeouts: number;
}

export class ServerState<F> {
  readonly address: string;
  /** Requests that it owes an answer to. */
  readonly flights = new Set<F>();
  dead = false;
  deadUntil = 0;
  /** After its dead time one request alone finds out whether it is back. */
  probe: F | null = null;
  /** When an answer came that is really its own. */
  heardAt = Number.NEGATIVE_INFINITY;
  /** It has sent a Message-Authenticator: it can, and an answer without one is suspect. */
  signs = false;
  requests = 0;
  repetitions = 0;
  answers = 0;
  timeouts = 0;
  readonly #slots: (F | null)[] = [];
  #open = 0;
  #cursor = 0;

  constructor(
    readonly kind: RadiusKind,
    readonly options: RadiusServerOptions,
    private readonly sockets: number,
  ) {
    const words = parseAddress(options.address);
    this.address = words === null ? options.address : formatWords(words);
  }

  /** A free identifier: socket × 256 + id, the one that was free longest; −1 when all are taken. */
  take(flight: F): number {
    if (this.flights.size >= this.#open * IDS && this.#open < this.sockets) {
      this.#slots.length = (this.#open + 1) * IDS;
      this.#slots.fill(null, this.#open * IDS);
      this.#cursor = this.#open++ * IDS;
    }
    const count = this.#open * IDS;
    if (this.flights.size >= count) return -1;
    while (this.#slots[this.#cursor] !== null) this.#cursor = (this.#cursor + 1) % count;
    const slot = this.#cursor;
    this.#cursor = (slot + 1) % count;
    this.#slots[slot] = flight;
    this.flights.add(flight);
    return slot;
  }

  free(slot: number, flight: F): void {
    this.#slots[slot] = null;
    this.flights.delete(flight);
    if (this.probe === flight) this.probe = null;
  }

  flightOf(socket: number, id: number): F | null {
    return this.#slots[socket * IDS + id] ?? null;
  }

  /** It answers, or nobody knows that it does not, or it is time to try it once. */
  isUsable(now: number): boolean {
    return !this.dead || (now >= this.deadUntil && this.probe === null);
  }

  row(): RadiusServerRow {
    const { kind, address, dead, requests, repetitions, answers, timeouts } = this;
    const { name, port } = this.options;
    const state = dead ? 'down' : 'up';
    return {
      server: name,
      kind,
      address,
      port,
      state,
      pending: this.flights.size,
      requests,
      repetitions,
      answers,
      timeouts,
    };
  }
}

export const socketOf = (slot: number): number => Math.floor(slot / IDS);
export const idOf = (slot: number): number => slot % IDS;
