/**
 * The NAT server of document 001, FIG. 2, where it is a process of its own (`part: nat`): it sees what servers send and
 * what clients send to its address, and no request. So a tunnel is made here from the server's answer: the header names
 * the client's id, AVP 9 the server's, the source says which server (FIG. 3: message 106 makes Table 1's entry). Several
 * tunnels of one client port stay apart by these ids as everywhere. It needs nobody: no bus, and any master.
 *
 * Of a tunnel whose answer it has missed (this process is new and there was no table) the way to the client is learnt from
 * any message or packet of the server, and the way back from the client's next message, if exactly one tunnel can be meant.
 */
import { CELL_WORDS, NEXT_HOP_STATE, RECORD, RECORD_STATE, SERVER_CELL } from '../flow/layout.js';
import { FRAME_HANDED } from '../io/port.js';
import { type ControlEvent, EVENT_CLOSE, EVENT_REPLY, type TunnelDescriptor } from '../tunnels/descriptor.js';
import { type Batch, KEY_STRIDE } from './batch.js';
import { COUNTER } from './counters.js';
import { after } from './dialogue.js';
import type { Directory } from './directory.js';
import { DROP } from './drop-reasons.js';
import { TUNNEL_DENIED } from './firewall.js';
import { HeldFrames } from './held.js';
import type { PlanServer, PlanVip } from './plan.js';
import type { TrackerParts } from './tracker.js';
import type { TunnelDraft } from './tunnel-draft.js';
import { LOOK_LIMIT } from './tunnel-store.js';

const NOT_OURS = -1;
/** Answer of `ofServer`: the message waits until the way to its client is known. */
export const NAT_HELD = -0x10000;
/** Seconds for which the first messages to a next hop wait for its link-layer address, and when it may be tried anew. */
const WAIT_SECONDS = 2;
const TRY_AGAIN_SECONDS = 10;
const WAITING_LIMIT = 1024;

export class NatPart {
  /** This process is the NAT server. */
  active = false;
  readonly #p: TrackerParts;
  readonly #event: ControlEvent;
  readonly #draft: TunnelDraft;
  #directory!: Directory;
  #nowSeconds = 0;
  #nowMs = 0;
  /**
   * Answers to clients on a link of ours, which nobody here has heard of before: they need not be lost. Made when first
   * needed.
   */
  #held: HeldFrames | null = null;
  /** By next hop that has not answered: until when messages wait for it. */
  readonly #waiting = new Map<number, number>();
  /** The server of an address that only one is configured at, for answers from a port that nobody has configured. */
  #only = new Map<number, PlanServer | null>();

  /** `event` and `draft`: the tracker's own. */
  constructor(parts: TrackerParts, event: ControlEvent, draft: TunnelDraft) {
    this.#p = parts;
    this.#event = event;
    this.#draft = draft;
  }

  setDirectory(directory: Directory): void {
    this.#directory = directory;
    this.active = directory.plan.part === 'nat';
    this.#only = new Map();
    for (const server of directory.plan.servers)
      this.#only.set(server.address, this.#only.has(server.address) ? null : server);
  }

  setTime(nowSeconds: number, nowMs: number): void {
    this.#nowSeconds = nowSeconds;
    this.#nowMs = nowMs;
  }

  /**
   * A server's message and the tunnel that has its ids (−1 none): the tunnel that it is of, −1, NAT_HELD, or −2 − a drop
   * reason.
   */
  ofServer(batch: Batch, i: number, descriptor: TunnelDescriptor, record: number): number {
    if (!this.active || (record >= 0 && !this.#replaces(record))) return record;
    return this.#begin(batch, i, descriptor, false);
  }

  /**
   * A server's message of a tunnel that is not in the table, or its packet: the record that is made for it, −1 when there
   * is nothing to be made, or −2 − the reason for which it is dropped.
   */
  #begin(batch: Batch, i: number, descriptor: TunnelDescriptor, data: boolean): number {
    const row = i * KEY_STRIDE;
    const server = this.#serverOf(batch, i, descriptor, data);
    const vip = server === null ? null : this.#directory.vip(this.#cell(server.index, SERVER_CELL.vip));
    if (server === null || vip === null || batch.keys[row + 5] === 0) return NOT_OURS;
    const refused = this.#fill(batch, row, descriptor, server, vip);
    if (refused >= 0) return -2 - refused;
    if (!data && this.#waits(batch, i, this.#draft.clientNextHop)) return NAT_HELD;
    const record = this.#p.store.createAnswered(this.#draft, this.#nowSeconds, this.#nowMs);
    if (record < 0) return -2 - DROP['table-full'];
    const answer = !data && (this.#event.kind === EVENT_REPLY || this.#event.kind === EVENT_CLOSE);
    this.#p.statistics[answer ? COUNTER.natAnswers : COUNTER.natMissed]++;
    this.#p.wheel.schedule(record, this.#nowSeconds + this.#directory.plan.timeouts.halfOpen);
    return record;
  }

  /**
   * A server's packet of a tunnel whose answer was missed: the slot of the way to its client, or −1 − the reason for which
   * it is dropped. It is a tunnel that stands, since it has data.
   */
  missed(batch: Batch, i: number, descriptor: TunnelDescriptor, stands: (record: number) => void): number {
    const { store } = this.#p;
    const slot = store.table.find(batch.keys, i * KEY_STRIDE); // another frame of this turn may have made it
    if (slot >= 0) return slot;
    const record = this.#begin(batch, i, descriptor, true);
    if (record < 0) return record === NOT_OURS ? -1 - DROP['unknown-server'] : record + 1;
    stands(record);
    return store.word(record, RECORD.entryReverse) - 1;
  }

  /**
   * A server's answer that is none to the tunnel which has its ids: the client has begun anew and gives the id again. True:
   * that tunnel has given way, and the answer makes another.
   */
  #replaces(record: number): boolean {
    const { store, wheel } = this.#p;
    const { kind, ns, assigned } = this.#event;
    if (kind !== EVENT_REPLY || ns !== 0) return false;
    const state = store.state(record);
    if (state === RECORD_STATE.halfOpen) return false;
    const known = store.word(record, RECORD.serverChannel);
    if (state === RECORD_STATE.established && (assigned === 0 || assigned === known)) return false;
    wheel.cancel(record);
    store.release(record, this.#nowMs);
    return true;
  }

  /** A StopCCN that is the answer to a request: it names the server's id, by which the client acknowledges it. */
  answers(record: number, fromClient: boolean): boolean {
    const unknown = (): boolean => this.#p.store.word(record, RECORD.serverChannel) === 0;
    return this.active && !fromClient && this.#event.kind === EVENT_CLOSE && unknown();
  }

  /**
   * A server's message shows that the tunnel stands: it has taken as many of the client's messages as it takes. What the
   * client says need not come by here (it may go on sending to the master).
   */
  stands(record: number, descriptor: TunnelDescriptor): boolean {
    const { kind, nr } = this.#event;
    const wanted = descriptor.connectMessages ?? 0;
    return (
      this.active &&
      wanted > 0 &&
      kind !== EVENT_CLOSE &&
      nr >= 0 &&
      after(nr, wanted - 1) &&
      this.#p.store.state(record) === RECORD_STATE.halfOpen
    );
  }

  /**
   * A client's message with an id that no table knows: the one tunnel of its address and port that it can belong to, whose
   * server's id is not known; −1. Its numbers must go on where that tunnel's dialogue is.
   */
  meant(batch: Batch, row: number): number {
    if (!this.active || this.#event.ns < 0) return NOT_OURS;
    const { store } = this.#p;
    const { keys } = batch;
    const clientPort = keys[row + 4] >>> 16;
    let found = NOT_OURS;
    let looks = LOOK_LIMIT;
    const [a0, a1, a2, a3] = [keys[row], keys[row + 1], keys[row + 2], keys[row + 3]];
    for (let record = store.clients.first(a0, a1, a2, a3); record >= 0 && looks > 0; looks--) {
      if (
        store.word(record, RECORD.serverChannel) === 0 &&
        store.word(record, RECORD.entryForward) === 0 &&
        store.state(record) !== RECORD_STATE.closing &&
        store.vipAddress(record) === keys[row + 6] >>> 16 &&
        store.clientPort(record) === clientPort &&
        store.isClient(record, a0, a1, a2, a3) &&
        this.#goesOn(record)
      ) {
        if (found >= 0) return NOT_OURS;
        found = record;
      }
      record = store.clients.next(record);
    }
    if (found >= 0) this.#p.statistics[COUNTER.natMissed]++;
    return found;
  }

  /** Is this message of the client's near where the server's half of the dialogue is? */
  #goesOn(record: number): boolean {
    const word = this.#p.store.word(record, RECORD.serverSequence);
    const { ns, nr } = this.#event;
    return near(nr, word >>> 16) && near(ns, word & 0xffff);
  }

  #waits(batch: Batch, i: number, hop: number): boolean {
    if (this.#p.hops.table.state(hop) === NEXT_HOP_STATE.resolved) return false;
    let until = this.#waiting.get(hop);
    if (until === undefined || this.#nowSeconds >= until + TRY_AGAIN_SECONDS) {
      if (this.#waiting.size >= WAITING_LIMIT) this.#waiting.clear();
      until = this.#nowSeconds + WAIT_SECONDS;
      this.#waiting.set(hop, until);
    }
    this.#held ??= new HeldFrames();
    return this.#nowSeconds < until && this.#held.hold(batch, i, hop);
  }

  /** Puts back what has waited: its next hop is known, or has had its time. Once a turn. */
  release(batch: Batch): void {
    if (this.#held === null || this.#held.count === 0) return;
    const { table } = this.#p.hops;
    const isOver = (hop: number): boolean => this.#nowSeconds >= (this.#waiting.get(hop) ?? 0);
    this.#held.release(batch, (hop) => table.state(hop) === NEXT_HOP_STATE.resolved || isOver(hop), FRAME_HANDED);
  }

  #serverOf(batch: Batch, i: number, descriptor: TunnelDescriptor, data: boolean): PlanServer | null {
    const address = batch.keys[i * KEY_STRIDE + 6] >>> 16;
    const port = descriptor.hasPorts ? batch.view.getUint16(batch.l4[i]) : 0;
    const server = this.#directory.serverAt(address, port);
    // From another port only an answer may come first (RFC 2661 §8.1).
    if (server !== null || data || this.#event.kind !== EVENT_REPLY) return server;
    return this.#only.get(address) ?? null;
  }

  /** −1, or the reason for which there is no such tunnel. */
  #fill(batch: Batch, row: number, descriptor: TunnelDescriptor, server: PlanServer, vip: PlanVip): number {
    const { store, hops, policy, shard } = this.#p;
    const { keys } = batch;
    const draft = this.#draft;
    draft.begin(vip, descriptor.id, descriptor.hasPorts, keys, row);
    draft.server = server;
    draft.clientChannel = keys[row + 5];
    const { a0, a1, a2, a3 } = draft;
    const { firewall } = policy;
    if (firewall.judgeTunnel(a0, a1, a2, a3, vip, descriptor.id, this.#directory, null) === TUNNEL_DENIED)
      return DROP['firewall-denied'];
    draft.serverNextHop = this.#cell(server.index, SERVER_CELL.nextHop);
    store.lock.acquire(shard);
    const hop = hops.find(a0, a1, a2, a3, null, 0, 0, this.#nowSeconds);
    store.lock.release(shard);
    draft.clientNextHop = hop;
    return hop < 0 ? -1 - hop : -1;
  }

  #cell(server: number, word: number): number {
    return this.#p.store.memory.servers[server * CELL_WORDS + word];
  }
}

/** Messages that may be on their way or have been lost; a receive window is hardly ever larger. */
const NEAR = 64;

/** Within a window of each other, either way (RFC 2661 §5.8). */
function near(a: number, b: number): boolean {
  const ahead = (a - b) & 0xffff;
  return ahead <= NEAR || ahead >= 0x10000 - NEAR;
}
