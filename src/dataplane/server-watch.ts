/**
 * What a shard sees of the servers' health, written into their cells as evidence; the main thread judges it
 * (designation/health.ts). Only control messages accuse: a server that leaves PPP packets unanswered is not dead. Any
 * message of a server clears it of everything that was held against it.
 *
 * Messages that were lost between client and designator are never seen, and those lost between designator and client
 * come again after the server's answer was seen: so a client with a bad line accuses nobody.
 */
import { ownerSlot } from '../flow/hash.js';
import { CELL_WORDS, LEND, RECORD_STATE, SERVER_CELL, SERVER_STATE } from '../flow/layout.js';
import { type ControlEvent, EVENT_CLOSE } from '../tunnels/descriptor.js';
import type { Batch } from './batch.js';
import { noteMessage, REPEATED, SAID } from './dialogue.js';
import type { Directory } from './directory.js';
import { OneWayWatch } from './one-way-watch.js';
import type { TunnelStore } from './tunnel-store.js';

/** Spreads a tunnel id over the bits of a word (the golden ratio, as a multiplier). */
const SPREAD = 0x9e3779b1;

const TYPE_IPV4 = 0x0800;
const TYPE_ARP = 0x0806;
const TYPE_IPV6 = 0x86dd;

export class ServerWatch {
  #nowMs = 0;
  /** Evidence is collected; dialogues are followed in any case. */
  #passive = true;
  readonly #down = new Set<number>();
  readonly #cells: Int32Array;

  /** For servers whose answers do not pass here. */
  readonly oneWay: OneWayWatch;

  /** `statistics`: COUNTER; absent: nothing is counted. */
  constructor(
    readonly store: TunnelStore,
    statistics: Float64Array | null = null,
  ) {
    this.#cells = store.memory.servers;
    this.oneWay = new OneWayWatch(store, statistics);
  }

  setPassive(passive: boolean): void {
    this.#passive = passive;
  }

  setTime(seconds: number): void {
    this.#nowMs = Math.floor(seconds * 1000) | 0 || 1; // 0 means never
    this.oneWay.step(this.#nowMs);
  }

  /** A control message of a client, of this tunnel. */
  fromClient(record: number, event: ControlEvent): void {
    const said = noteMessage(this.store, record, true, event);
    // Some servers forget a tunnel at once and never acknowledge a StopCCN that comes again.
    if ((said !== SAID && said !== REPEATED) || event.kind === EVENT_CLOSE || !this.#passive) return;
    const { store } = this;
    const state = store.state(record);
    if (state === RECORD_STATE.closing) return;
    if (this.oneWay.covers(record) && !this.oneWay.heard(record, event, said === REPEATED, this.#nowMs)) return;
    const cells = this.#cells;
    const at = store.serverIndex(record) * CELL_WORDS;
    if (cells[at + SERVER_CELL.waiting] === 0) Atomics.compareExchange(cells, at + SERVER_CELL.waiting, 0, this.#nowMs);
    Atomics.add(cells, at + SERVER_CELL.asks, 1);
    if (said === REPEATED) Atomics.add(cells, at + SERVER_CELL.repeats, 1);
    Atomics.or(cells, at + SERVER_CELL.askers, this.#bit(record, state));
  }

  /** A control message of a server, of this tunnel. */
  fromServer(record: number, event: ControlEvent): void {
    noteMessage(this.store, record, false, event);
    this.heard(this.store.serverIndex(record));
  }

  /** A packet that only a living server sends. */
  heard(server: number): void {
    const cells = this.#cells;
    const at = server * CELL_WORDS;
    cells[at + SERVER_CELL.heard] = this.#nowMs;
    if ((cells[at + SERVER_CELL.waiting] | cells[at + SERVER_CELL.unreachable]) === 0) return;
    cells[at + SERVER_CELL.asks] = 0;
    cells[at + SERVER_CELL.repeats] = 0;
    cells[at + SERVER_CELL.askers] = 0;
    cells[at + SERVER_CELL.unreachable] = 0;
    Atomics.store(cells, at + SERVER_CELL.waiting, 0);
  }

  /** An ICMP error from the way to the server, or from the server itself about its tunnel port, says that it cannot be reached. */
  unreachable(server: number): void {
    if (!this.#passive) return;
    const cells = this.#cells;
    const at = server * CELL_WORDS;
    if (cells[at + SERVER_CELL.waiting] === 0) Atomics.compareExchange(cells, at + SERVER_CELL.waiting, 0, this.#nowMs);
    Atomics.add(cells, at + SERVER_CELL.unreachable, 1);
  }

  /** Its machine shows signs of life (ARP, ND, ICMP), which says nothing of the tunnel server: worth a try. */
  stirs(server: number): void {
    const at = server * CELL_WORDS;
    if (this.#cells[at + SERVER_CELL.state] !== SERVER_STATE.down) return;
    const lend = this.#cells[at + SERVER_CELL.lend];
    if (lend === LEND.none || lend === LEND.lent)
      Atomics.compareExchange(this.#cells, at + SERVER_CELL.lend, lend, LEND.hinted);
  }

  /** A server is down, or is no longer. */
  setDown(server: number, isDown: boolean): void {
    if (isDown) this.#down.add(server);
    else this.#down.delete(server);
  }

  /** A frame that is no tunnel traffic may be worth a look: some server is down. */
  get expectant(): boolean {
    return this.#down.size > 0;
  }

  /** A frame that is no tunnel traffic: ARP, ND, ICMP or anything else of a machine whose tunnel server is down. */
  look(batch: Batch, i: number, directory: Directory): void {
    const { view, columns } = batch;
    const at = columns.offset[i];
    const length = columns.length[i];
    if (length < 42) return;
    const type = view.getUint16(at + 12);
    let address = -1;
    if (type === TYPE_IPV4) address = directory.serverOf(0, 0, 0xffff, view.getInt32(at + 26));
    else if (type === TYPE_ARP) address = directory.serverOf(0, 0, 0xffff, view.getInt32(at + 28));
    else if (type === TYPE_IPV6 && length >= 54) {
      const word = (n: number): number => view.getInt32(at + 22 + n * 4);
      address = directory.serverOf(word(0), word(1), word(2), word(3));
    }
    if (address < 0) return;
    for (const server of this.#down) if (directory.server(server)?.address === address) this.stirs(server);
  }

  /** Whether an unanswered request should try another server when it comes again. */
  isDoubtful(server: number): boolean {
    const state = this.#cells[server * CELL_WORDS + SERVER_CELL.state];
    return state === SERVER_STATE.suspect || state === SERVER_STATE.down;
  }

  /**
   * One of 32 bits for whoever asks, so that "several" can be told at no cost. Who only requests a tunnel counts by its
   * address, since ids of requests are free to invent; a tunnel that the server knows counts by itself.
   */
  #bit(record: number, state: number): number {
    const { store } = this;
    const { table } = store;
    const slot = store.anyEntry(record);
    if (slot < 0) return 0;
    let hash = ownerSlot(
      table.keyWord(slot, 0),
      table.keyWord(slot, 1),
      table.keyWord(slot, 2),
      table.keyWord(slot, 3),
    );
    if (state === RECORD_STATE.established)
      hash ^= Math.imul(table.keyWord(slot, 4) ^ table.keyWord(slot, 5), SPREAD) >>> 27;
    return 1 << (hash & 31);
  }
}
