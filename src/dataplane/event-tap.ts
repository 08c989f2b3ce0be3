/**
 * A shard's end of the event stream: what happens to tunnels and sessions, as words into a ring that the main thread
 * empties. An event costs some stores and never waits; what finds no room is counted. Refused requests are told so many
 * a second at most: a flood of them is one number, not one event each.
 */
import type { EventRing } from '../flow/event-ring.js';
import { FLAG_REWRITE_SOURCE, RECORD } from '../flow/layout.js';
import { type Batch, KEY_STRIDE } from './batch.js';
import { clientPortOf } from '../flow/client-port.js';
import type { TunnelStore } from './tunnel-store.js';

export const SHARD_EVENT = {
  request: 1,
  established: 2,
  closed: 3,
  sessionRequested: 4,
  sessionEstablished: 5,
  sessionClosed: 6,
  refused: 7,
} as const;

/** Why a tunnel ended. */
export const CLOSE_REASON = {
  clientStop: 0, // the client's message
  serverStop: 1,
  idle: 2, // timeouts.idle without a packet
  halfOpen: 3, // timeouts.halfOpen without an answer
  command: 4, // a drain whose deadline is over
  serverDown: 5, // taken down because its server is
  moved: 6, // half open, to be asked for again: its client's next request goes to another server
  other: 7,
  elsewhere: 8, // answers do not pass here: what became of it is its server's to say
} as const;

/** Word indices of an event. Addresses and ids as everywhere; `time` is CLOCK_MONOTONIC milliseconds modulo 2³². */
export const SHARD_EVENT_WORD = {
  kind: 0, // SHARD_EVENT | CLOSE_REASON or DROP << 8 | (result code of the message + 1) << 16
  time: 1,
  client: 2, // 4 words
  ports: 6, // client port << 16 | server port
  place: 7, // vip cell << 16 | server cell
  clientChannel: 8,
  serverChannel: 9,
  virtualChannel: 10,
  protocol: 11,
  clientSession: 12, // sessions
  serverSession: 13,
  duration: 12, // closed: seconds
  packetsIn: 13, // closed: 2 words each, low first
  packetsOut: 15,
  bytesIn: 17,
  bytesOut: 19,
  sessions: 21, // closed: sessions that it had at the end
  suppressed: 12, // refused: refusals since the last one that was told
  rule: 13, // refused: place of the firewall rule that had to do with it, −1 none
} as const;

const W = SHARD_EVENT_WORD;
/** Place of a refused request: its server is not known. */
export const NO_SERVER = 0xffff;
/** Refusals told in a second. */
export const REFUSALS_PER_SECOND = 50;

export class EventTap {
  #nowMs = 0;
  #nowSeconds = 0;
  #refusalSecond = -1;
  #refusalsLeft = 0;
  #suppressed = 0;

  constructor(
    readonly ring: EventRing,
    readonly store: TunnelStore,
  ) {}

  setTime(seconds: number): void {
    this.#nowSeconds = Math.floor(seconds);
    this.#nowMs = Math.floor(seconds * 1000) | 0;
  }

  /** SHARD_EVENT.request or established. */
  tunnel(kind: number, record: number): void {
    if (this.#begin(kind, record) >= 0) this.ring.commit();
  }

  /** `result` is the message's result code, −1 none. Called while the tunnel still has its entries. */
  closed(record: number, reason: number, result: number): void {
    if (this.store.anyEntry(record) < 0) return; // half made by a shard that crashed: nobody was told that it began
    const at = this.#begin(SHARD_EVENT.closed | (reason << 8) | ((result + 1) << 16), record);
    if (at < 0) return;
    const { store } = this;
    const { words } = this.ring;
    let packetsIn = 0;
    let packetsOut = 0;
    let bytesIn = 0;
    let bytesOut = 0;
    for (let w = RECORD.entryHalfOpen; w <= RECORD.entryAlias; w++) {
      const slot = store.word(record, w) - 1;
      if (slot < 0) continue;
      if ((store.table.flagsOf(slot) & FLAG_REWRITE_SOURCE) !== 0) {
        packetsOut += store.table.packets(slot);
        bytesOut += store.table.bytes(slot);
      } else {
        packetsIn += store.table.packets(slot);
        bytesIn += store.table.bytes(slot);
      }
    }
    words[at + W.duration] = this.#nowSeconds - store.word(record, RECORD.created);
    setWide(words, at + W.packetsIn, packetsIn);
    setWide(words, at + W.packetsOut, packetsOut);
    setWide(words, at + W.bytesIn, bytesIn);
    setWide(words, at + W.bytesOut, bytesOut);
    words[at + W.sessions] = store.pool.sessionsOf(record);
    this.ring.commit();
  }

  /** SHARD_EVENT.sessionRequested, sessionEstablished or sessionClosed. */
  session(kind: number, record: number, clientId: number, serverId: number, result = -1): void {
    const at = this.#begin(kind | ((result + 1) << 16), record);
    if (at < 0) return;
    const { words } = this.ring;
    words[at + W.clientSession] = clientId;
    words[at + W.serverSession] = serverId;
    this.ring.commit();
  }

  /** A request in column i of a batch, whose keys are filled, ends here for a drop reason. */
  refused(batch: Batch, i: number, vip: number, channel: number, reason: number, rule = -1): void {
    if (this.#refusalSecond !== this.#nowSeconds) {
      this.#refusalSecond = this.#nowSeconds;
      this.#refusalsLeft = REFUSALS_PER_SECOND;
    }
    if (this.#refusalsLeft === 0) {
      this.#suppressed++;
      return;
    }
    const at = this.ring.claim();
    if (at < 0) return;
    this.#refusalsLeft--;
    const { words } = this.ring;
    const { keys } = batch;
    const row = i * KEY_STRIDE;
    words[at + W.kind] = SHARD_EVENT.refused | (reason << 8);
    words[at + W.time] = this.#nowMs;
    for (let w = 0; w < 4; w++) words[at + W.client + w] = keys[row + w];
    words[at + W.ports] = keys[row + 4] & ~0xffff;
    words[at + W.place] = (vip << 16) | NO_SERVER;
    words[at + W.clientChannel] = channel;
    words[at + W.serverChannel] = 0;
    words[at + W.virtualChannel] = 0;
    words[at + W.protocol] = batch.protocol[i];
    words[at + W.suppressed] = this.#suppressed;
    words[at + W.rule] = rule;
    this.#suppressed = 0;
    this.ring.commit();
  }

  /** Everything that events of a tunnel have in common. Its place in the ring, −1 no room. */
  #begin(kind: number, record: number): number {
    const { store } = this;
    const at = this.ring.claim();
    if (at < 0) return -1;
    const { words } = this.ring;
    const entry = store.anyEntry(record);
    words[at + W.kind] = kind;
    words[at + W.time] = this.#nowMs;
    for (let w = 0; w < 4; w++) words[at + W.client + w] = entry < 0 ? 0 : store.table.keyWord(entry, w);
    const ports = entry < 0 ? 0 : clientPortOf(store.table, entry) << 16;
    words[at + W.ports] = ports | (store.word(record, RECORD.ports) >>> 16);
    words[at + W.place] = store.word(record, RECORD.place);
    words[at + W.clientChannel] = store.word(record, RECORD.clientChannel);
    words[at + W.serverChannel] = store.word(record, RECORD.serverChannel);
    words[at + W.virtualChannel] = store.word(record, RECORD.virtualChannel);
    words[at + W.protocol] = store.protocol(record);
    return at;
  }
}

function setWide(words: Int32Array, at: number, value: number): void {
  words[at] = (value % 4294967296) | 0;
  words[at + 1] = (value / 4294967296) | 0;
}
