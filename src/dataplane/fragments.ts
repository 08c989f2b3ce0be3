/**
 * Fragments of tunnel traffic (RFC 791 §3.2, RFC 8200 §4.5). Only the first fragment of a datagram shows ports and
 * tunnel id, so its decision is kept and applied to the others; what comes before it waits, a short time and in a small
 * store. Runs only in the shard that owns the client's address, as control messages do. Nothing is reassembled:
 * fragments go on as they are, with the addresses of the other side (docs/decisions/0010).
 */
import { ownerSlot } from '../flow/hash.js';
import { FLAG_DENIED, FLAG_REWRITE_SOURCE, HEADER, TABLE_FORWARD, TABLE_REVERSE } from '../flow/layout.js';
import { VERDICT_HANDED } from '../io/port.js';
import { CLASS_CONTROL, CLASS_CONTROL_UNBOUND, CLASS_DATA, CLASS_NOT_MINE } from '../tunnels/descriptor.js';
import { adjust16 } from '../wire/checksum.js';
import { type Batch, KEY_STRIDE, KIND_DONE, KIND_HOST } from './batch.js';
import { drop, wasHanded } from './classify.js';
import { COUNTER, DROP_BASE, MALFORMED_BASE } from './counters.js';
import type { Directory } from './directory.js';
import { DROP } from './drop-reasons.js';
import {
  FRAGMENT_KEY_WORDS,
  FragmentTable,
  RANGE_FULL,
  RANGE_IMPOSSIBLE,
  RANGE_NEW,
  RANGE_OVERLAP,
  RANGE_REPEATED,
} from './fragment-table.js';
import type { HandOver } from './hand-over.js';
import { countForwarded, finish } from './recall.js';
import type { Relay } from './relay.js';
import type { TunnelStore } from './tunnel-store.js';

/** `role` in the key row of a fragment, as classify sets it: who sent it. */
export const FRAGMENT_FROM_CLIENT = 1;
export const FRAGMENT_FROM_SERVER = 2;

/**
 * A first fragment must hold what decides about it: the UDP header, the longest L2TP header, and the head of a first AVP.
 * No path is so narrow that an honest sender would cut there (the least MTU of IPv4 is 68).
 */
export const FIRST_FRAGMENT_MIN = 32;
const UDP = 17;
const UDP_LENGTH = 4;
const DATAGRAM_MAX = 0xffff;

/** Decisions below 0: the others are slots. */
const DECIDED_HOST = -1;
/** −2 − reason: the rest of the datagram is dropped for that reason. */
const refusal = (reason: number): number => -2 - reason;

const IDENTIFICATION_COUNTERS = 4096;

const channel = new Int32Array(2);

export class Fragments {
  /** Made with the first fragment: where there are none it takes no memory. */
  #table: FragmentTable | null = null;
  readonly #key = new Int32Array(FRAGMENT_KEY_WORDS);
  readonly #entryKey = new Int32Array(KEY_STRIDE);
  readonly #identifications = new Uint32Array(IDENTIFICATION_COUNTERS);
  #nowSeconds = 0;

  constructor(
    readonly shard: number,
    readonly store: TunnelStore,
    readonly handOver: HandOver,
    readonly statistics: Float64Array,
    /** A frame that is here has left the kernel's way (AF_XDP): the host does not get it any more. */
    readonly takes: boolean,
    readonly relay: Relay,
  ) {}

  get table(): FragmentTable {
    this.#table ??= new FragmentTable();
    return this.#table;
  }

  /** Also forgets what has waited too long. */
  setTime(seconds: number, batch: Batch): void {
    this.#nowSeconds = seconds;
    const table = this.#table;
    if (table === null || table.count === 0) return;
    for (let d = table.expired(seconds); d >= 0; d = table.expired(seconds))
      this.#forget(d, batch, DROP['fragment-timeout']);
  }

  /** A fragment: gives it a verdict, or leaves it to the host. Returns its kind. */
  fragment(batch: Batch, i: number, directory: Directory): number {
    const row = i * KEY_STRIDE;
    const { keys } = batch;
    const owner = this.store.memory.ownerSlots[ownerSlot(keys[row], keys[row + 1], keys[row + 2], keys[row + 3])];
    if (owner !== this.shard && !wasHanded(batch, i)) {
      if (!this.handOver.push(owner, batch, i)) this.#drop(batch, i, DROP['hand-over-full']);
      else {
        this.statistics[COUNTER.handedOver]++;
        finish(batch, i);
      }
      return KIND_DONE;
    }
    this.#place(batch, i, directory);
    return batch.kind[i];
  }

  #place(batch: Batch, i: number, directory: Directory): void {
    const { table } = this;
    const word = fragmentWord(batch, i);
    const start = word & 0xfff8;
    const more = (word & 1) !== 0;
    const length = batch.end[i] - batch.l4[i];
    if (length <= 0 || (more && (length & 7) !== 0) || start + length > DATAGRAM_MAX)
      return this.#drop(batch, i, DROP['fragment-header']);
    const row = i * KEY_STRIDE;
    const key = this.#key;
    for (let w = 0; w < 4; w++) key[w] = batch.keys[row + w];
    key[4] = batch.keys[row + 6];
    key[5] = identification(batch, i);
    let d = table.find(key);
    if (d < 0) d = this.#open(batch);
    const entered = table.enter(d, start, start + length, !more);
    if (entered === RANGE_REPEATED) return this.#drop(batch, i, DROP['fragment-repeated']);
    if (entered !== RANGE_NEW) {
      const reason = REASON_OF_RANGE[entered];
      this.#refuse(d, batch, reason);
      return this.#drop(batch, i, reason);
    }
    if (start === 0 && !(table.isDecided(d) && table.decision[d] < DECIDED_HOST)) this.#decide(d, batch, i, directory);
    if (!table.isDecided(d)) return this.#hold(d, batch, i);
    this.#apply(d, batch, i);
    if (start === 0) this.#release(d, batch);
    if (table.isComplete(d)) table.close(d);
  }

  #open(batch: Batch): number {
    const d = this.table.open(this.#key, this.#nowSeconds);
    if (d >= 0) return d;
    this.#forget(this.table.oldest(), batch, DROP['fragment-limit']);
    return this.table.open(this.#key, this.#nowSeconds);
  }

  /** The first fragment has not come: a copy waits, and room is made for it at the cost of who waits longest. */
  #hold(d: number, batch: Batch, i: number): void {
    const { table } = this;
    let held = table.hold(d, batch, i);
    if (!held) {
      const oldest = table.oldestWithCopies(d);
      if (oldest >= 0) {
        this.#forget(oldest, batch, DROP['fragment-limit']);
        held = table.hold(d, batch, i);
      }
    }
    if (!held) return this.#drop(batch, i, DROP['fragment-limit']);
    this.statistics[COUNTER.fragmentsHeld]++;
    this.statistics[COUNTER.fragmentsWaiting] = table.copies;
    batch.kind[i] = KIND_DONE;
    batch.columns.verdict[i] = VERDICT_HANDED;
  }

  /** What waited for the first fragment follows it. */
  #release(d: number, batch: Batch): void {
    const { table, statistics } = this;
    while (table.hasCopies(d)) {
      const slot = batch.takeScratch();
      table.takeCopy(d, batch, slot);
      if (slot < 0) {
        statistics[DROP_BASE + DROP['fragment-limit']]++;
        continue;
      }
      this.#apply(d, batch, slot);
      if (batch.kind[slot] === KIND_HOST) {
        // The tap only copied it; what AF_XDP took is gone.
        batch.kind[slot] = KIND_DONE;
        if (this.takes) this.#drop(batch, slot, DROP['not-passed']);
        else batch.columns.verdict[slot] = VERDICT_HANDED;
      } else if (batch.columns.verdict[slot] >= 0) countForwarded(batch, slot, slot + 1, this.store.table, statistics);
    }
    statistics[COUNTER.fragmentsWaiting] = table.copies;
  }

  /** Does with a fragment what was decided for its datagram. */
  #apply(d: number, batch: Batch, i: number): void {
    const { table } = this;
    const slot = table.decision[d];
    if (slot === DECIDED_HOST) {
      batch.kind[i] = KIND_HOST;
      return;
    }
    if (slot < 0) {
      const reason = refusal(slot);
      const known = reason === DROP['unknown-tunnel'] || reason === DROP['unknown-server'];
      if (known && this.relay.take(batch, i, reason === DROP['unknown-tunnel'])) return;
      return this.#drop(batch, i, reason);
    }
    const connections = this.store.table;
    const same =
      connections.isLive(slot) &&
      connections.keyWord(slot, 4) === table.entryKeyA[d] &&
      connections.keyWord(slot, 5) === table.entryKeyB[d] &&
      connections.keyWord(slot, 6) === table.entryTag[d];
    if (!same) return this.#drop(batch, i, DROP['unknown-tunnel']);
    const flags = connections.flagsOf(slot);
    if ((flags & FLAG_DENIED) !== 0) return this.#drop(batch, i, DROP['firewall-denied']);
    if ((flags & FLAG_REWRITE_SOURCE) !== 0) setIdentification(batch, i, table.identification[d]);
    // A capture of one client looks here.
    const row = i * KEY_STRIDE;
    for (let w = 0; w <= 4; w++) batch.keys[row + w] = connections.keyWord(slot, w);
    batch.protocol[i] = (table.entryTag[d] >>> 8) & 0xff;
    this.statistics[COUNTER.fragments]++;
    batch.kind[i] = KIND_DONE;
    batch.columns.verdict[i] = slot;
  }

  // ── the decision ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** The first fragment decides. */
  #decide(d: number, batch: Batch, i: number, directory: Directory): void {
    const { table, store } = this;
    const decision = this.#judge(batch, i, directory);
    table.decide(d, decision, this.#nowSeconds);
    if (decision < 0) return;
    const { table: connections } = store;
    table.entryKeyA[d] = connections.keyWord(decision, 4);
    table.entryKeyB[d] = connections.keyWord(decision, 5);
    table.entryTag[d] = connections.keyWord(decision, 6);
    table.identification[d] = this.#nextIdentification(batch, i);
  }

  /** The slot of the datagram's tunnel, or another decision. */
  #judge(batch: Batch, i: number, directory: Directory): number {
    const { view, keys } = batch;
    const row = i * KEY_STRIDE;
    const fromClient = (keys[row + 6] & 0xff) === FRAGMENT_FROM_CLIENT;
    const address = keys[row + 6] >>> 16;
    const l4 = batch.l4[i];
    // A VIP is no address of the host's, so nobody else could want what is sent there.
    const foreign = fromClient ? refusal(DROP.fragment) : DECIDED_HOST;
    if (batch.end[i] - l4 < FIRST_FRAGMENT_MIN) return refusal(DROP['fragment-tiny']);
    const source = view.getUint16(l4);
    const destination = view.getUint16(l4 + 2);
    const descriptors = directory.descriptorsOf(batch.ipProtocol[i]);
    for (let n = 0; n < descriptors.length; n++) {
      const descriptor = descriptors[n];
      const known = fromClient
        ? directory.vipAt(address, descriptor.hasPorts ? destination : 0) !== null
        : directory.serverAt(address, descriptor.hasPorts ? source : 0) !== null;
      // The headers say how long the whole datagram is; of it FIRST_FRAGMENT_MIN bytes are here, which is all they read.
      const end = descriptor.ipProtocol === UDP ? l4 + view.getUint16(l4 + UDP_LENGTH) : batch.end[i];
      if (end - l4 < FIRST_FRAGMENT_MIN) return known ? refusal(DROP['udp-length']) : foreign;
      if (!known && descriptor.looksLike !== undefined && !descriptor.looksLike(view, l4, end)) continue;
      const answer = descriptor.classify(view, l4, end, channel);
      if (answer === CLASS_NOT_MINE) continue;
      if (answer < 0) {
        if (!known) continue;
        return refusal(MALFORMED_BASE[descriptor.id] - DROP_BASE - 1 - answer);
      }
      if (answer === CLASS_CONTROL || answer === CLASS_CONTROL_UNBOUND) return refusal(DROP['fragment-control']);
      if (answer !== CLASS_DATA) continue;
      const key = this.#entryKey;
      for (let w = 0; w < 4; w++) key[w] = keys[row + w];
      key[4] = descriptor.hasPorts ? (fromClient ? (source << 16) | destination : destination << 16) : 0;
      key[5] = channel[0];
      key[6] = (address << 16) | (descriptor.id << 8) | (fromClient ? TABLE_FORWARD : TABLE_REVERSE);
      const slot = this.store.table.find(key, 0);
      if (slot >= 0) return slot;
      if (known) return refusal(fromClient ? DROP['unknown-tunnel'] : DROP['unknown-server']);
    }
    return foreign;
  }

  /**
   * Two servers behind one VIP may use the same identification towards one client at the same time, so the designator
   * gives its own: counted up for every client, from a start that outsiders cannot know (RFC 7739 §5.1).
   */
  #nextIdentification(batch: Batch, i: number): number {
    const row = i * KEY_STRIDE;
    const { keys } = batch;
    let h = Math.imul(keys[row] ^ keys[row + 1] ^ keys[row + 2] ^ keys[row + 3], 0x9e3779b1);
    h = Math.imul(h ^ this.store.memory.header[HEADER.hashSeed], 0x85ebca6b);
    h ^= h >>> 15;
    const counter = h & (IDENTIFICATION_COUNTERS - 1);
    return (Math.imul(h, 0xc2b2ae35) + ++this.#identifications[counter]) | 0;
  }

  // ── ends ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Nothing of this datagram goes on any more; copies that wait are counted under the same reason. */
  #refuse(d: number, batch: Batch, reason: number): void {
    this.table.decide(d, refusal(reason), this.#nowSeconds);
    this.#dropCopies(d, batch, reason);
  }

  #forget(d: number, batch: Batch, reason: number): void {
    this.#dropCopies(d, batch, reason);
    this.table.close(d);
  }

  #dropCopies(d: number, batch: Batch, reason: number): void {
    while (this.table.takeCopy(d, batch, -1)) this.statistics[DROP_BASE + reason]++;
    this.statistics[COUNTER.fragmentsWaiting] = this.table.copies;
  }

  #drop(batch: Batch, i: number, reason: number): void {
    drop(batch, i, this.statistics, reason);
  }
}

const REASON_OF_RANGE: Readonly<Record<number, number>> = {
  [RANGE_OVERLAP]: DROP['fragment-overlap'],
  [RANGE_IMPOSSIBLE]: DROP['fragment-header'],
  [RANGE_FULL]: DROP['fragment-limit'],
};

const isIpv4At = (batch: Batch, l3: number): boolean => batch.view.getUint8(l3) >> 4 === 4;

/** Fragment offset in bytes, and in bit 0 "more fragments": the word of RFC 8200 §4.5, for IPv4 too. */
function fragmentWord(batch: Batch, i: number): number {
  const l3 = batch.l3[i];
  if (!isIpv4At(batch, l3)) return batch.view.getUint16(batch.l4[i] - 6);
  const word = batch.view.getUint16(l3 + 6);
  return ((word & 0x1fff) << 3) | ((word & 0x2000) !== 0 ? 1 : 0);
}

function identification(batch: Batch, i: number): number {
  const l3 = batch.l3[i];
  return isIpv4At(batch, l3) ? batch.view.getUint16(l3 + 4) : batch.view.getInt32(batch.l4[i] - 4);
}

function setIdentification(batch: Batch, i: number, value: number): void {
  const { view } = batch;
  const l3 = batch.l3[i];
  if (!isIpv4At(batch, l3)) {
    view.setInt32(batch.l4[i] - 4, value);
    return;
  }
  const before = view.getUint16(l3 + 4);
  view.setUint16(l3 + 4, value & 0xffff);
  view.setUint16(l3 + 10, adjust16(view.getUint16(l3 + 10), before, value & 0xffff));
}
