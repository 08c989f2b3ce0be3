/**
 * The sessions of an LNS or a LAC in the memory that its workers read. The main thread is the only writer: `add`, `update`
 * and `remove` take effect with the next packet. Counters and stamps are the workers' (`counters`, `lastSeen`).
 *
 * What finds a session: its local tunnel and session id (data from the tunnel), its addresses, network and routes (packets
 * from the network), its PPPoE session id on an access line.
 */
import { SessionIndex } from './session-index.js';
import {
  CALL,
  CALL_FLAG,
  CALL_KIND,
  CALL_STATE,
  CALL_WORDS,
  COUNT,
  COUNT_WORDS,
  PLANE,
  MEMORY_MAGIC,
  MEMORY_VERSION,
  type PlaneLayout,
  REFERENCE,
  ROUTE,
  ROUTE_WORDS,
} from './session-layout.js';

/** IPv4 mapped (0, 0, 0xffff, a), as `AddressWords` of src/wire/address.ts. */
export type Words = readonly [number, number, number, number];

export interface SessionTunnel {
  /** Index of the local socket that data leaves from (TunnelPlane.addSocket). */
  readonly socket: number;
  readonly address: Words;
  readonly port: number;
  readonly localTunnelId: number;
  readonly localSessionId: number;
  readonly peerTunnelId: number;
  readonly peerSessionId: number;
}

export interface SessionAccess {
  /** Index of the access interface (TunnelPlane.accesses). */
  readonly access: number;
  readonly sessionId: number;
  /** The customer's, 6 bytes. */
  readonly mac: Uint8Array;
}

export interface SessionRoute {
  readonly address: Words;
  /** Bits of the mapped address: 96 + n for IPv4. */
  readonly length: number;
}

export type SessionState = 'closed' | 'forward' | 'hold';
/** lns: tunnel ⇄ TUN. lac: tunnel ⇄ access line. punt: every frame goes to the main thread. */
export type SessionKind = 'lns' | 'lac' | 'punt';

export interface SessionRow {
  readonly kind: SessionKind;
  readonly state: SessionState;
  readonly tunnel: SessionTunnel | null;
  readonly access: SessionAccess | null;
  /** CALL_FLAG bits; those about the tunnel, the access line and routes are set by the table. */
  readonly flags: number;
  /** The subscriber's, as a number; 0 none. */
  readonly ipv4: number;
  /** Upper half of the subscriber's IPv6 /64; null none. */
  readonly prefix: readonly [number, number] | null;
  readonly routes: readonly SessionRoute[];
  /** Longest IP packet that the subscriber takes, bytes (its MRU); 0 unknown. */
  readonly mru: number;
  /** TCP SYNs are told so much at most; 0: they are left alone. */
  readonly clampMss: number;
}

/** Since the session was added. In is from the subscriber. */
export interface SessionCounters {
  readonly packetsIn: number;
  readonly bytesIn: number;
  readonly packetsOut: number;
  readonly bytesOut: number;
  readonly spoofed: number;
  readonly sequence: number;
  readonly tooBig: number;
  readonly hold: number;
  readonly other: number;
}

/** Why `add` and `update` refused; nothing has been changed then. */
export type SessionRefusal = 'full' | 'ids-in-use' | 'access-in-use' | 'address-in-use' | 'routes-full';

const OWN_FLAGS = CALL_FLAG.hasRoutes | CALL_FLAG.tunnel | CALL_FLAG.access;
const COUNTED = [
  COUNT.packetsIn,
  COUNT.bytesIn,
  COUNT.packetsOut,
  COUNT.bytesOut,
  COUNT.spoofed,
  COUNT.sequence,
  COUNT.tooBig,
  COUNT.hold,
  COUNT.other,
] as const;
const WIDE = 4; // so many of them are 64 bit
const TWO_32 = 4294967296;

export class SessionTable {
  readonly #header: Int32Array;
  readonly #calls: Int32Array;
  readonly #routes: Int32Array;
  readonly #counts: Int32Array;
  readonly #index: SessionIndex;
  readonly #rows: (SessionRow | null)[];
  readonly #routePlaces: (readonly number[])[];
  /** What the counters said when the session was added: workers never set them back. */
  readonly #before: Float64Array;
  /** Places that were given back wait at the end of the line, so that a worker that still reads one is not misled. */
  readonly #free: number[] = [];
  #freeHead = 0;
  readonly #freeRoutes: number[] = [];
  #used = 0;
  #refusal: SessionRefusal = 'full';

  /** Over zeroed memory of `layout.length` bytes, which it formats. */
  constructor(
    buffer: ArrayBufferLike,
    readonly layout: PlaneLayout,
    seed: number,
  ) {
    const { sessions, routes, workers, indexSlots } = layout;
    this.#header = new Int32Array(buffer, 0, 64);
    this.#calls = new Int32Array(buffer, layout.calls, sessions * CALL_WORDS);
    this.#routes = new Int32Array(buffer, layout.routeRows, routes * ROUTE_WORDS);
    this.#counts = new Int32Array(buffer, layout.counts, workers * sessions * COUNT_WORDS);
    this.#index = new SessionIndex(new Int32Array(buffer, layout.index, indexSlots * 2), seed, (kind, place, key) =>
      this.#holds(kind, place, key),
    );
    this.#rows = new Array<SessionRow | null>(sessions).fill(null);
    this.#routePlaces = new Array<readonly number[]>(sessions).fill([]);
    this.#before = new Float64Array(sessions * COUNTED.length);
    for (let slot = 0; slot < sessions; slot++) this.#free.push(slot);
    for (let place = routes - 1; place >= 0; place--) this.#freeRoutes.push(place);
    const h = this.#header;
    h[PLANE.layoutVersion] = MEMORY_VERSION;
    h[PLANE.sessions] = sessions;
    h[PLANE.routes] = routes;
    h[PLANE.indexSlots] = indexSlots;
    h[PLANE.workers] = workers;
    h[PLANE.seed] = seed | 0;
    Atomics.store(h, PLANE.magic, MEMORY_MAGIC);
  }

  /** Sessions that are there. */
  get used(): number {
    return this.#used;
  }

  get capacity(): number {
    return this.layout.sessions;
  }

  /** Why the last `add` gave −1, or the last `update` false. */
  get refusal(): SessionRefusal {
    return this.#refusal;
  }

  row(slot: number): SessionRow | null {
    return this.#rows[slot] ?? null;
  }

  /** Place of the session with these ids of ours, or −1. */
  find(localTunnelId: number, localSessionId: number): number {
    return this.#index.find(REFERENCE.tunnel, [(localTunnelId << 16) | localSessionId]);
  }

  /** Place of the session that has this address as its own, or −1. */
  findIpv4(address: number): number {
    return this.#index.find(REFERENCE.address, [address | 0]);
  }

  /** The session's place, or −1 (see `refusal`). */
  add(row: SessionRow): number {
    if (this.#freeHead >= this.#free.length) return this.#refuse('full');
    const slot = this.#free[this.#freeHead];
    if (!this.#check(slot, row, null)) return -1;
    this.#freeHead++;
    if (this.#freeHead > 4096) {
      this.#free.splice(0, this.#freeHead);
      this.#freeHead = 0;
    }
    const sums = this.#sums(slot);
    this.#before.set(sums, slot * COUNTED.length);
    this.#rows[slot] = row;
    this.#used++;
    const at = slot * CALL_WORDS;
    this.#write(slot, row, () => {
      this.#calls[at + CALL.epoch]++;
      this.#calls[at + CALL.sendNs] = 0;
      this.#calls[at + CALL.receiveNs] = 0;
      this.#calls[at + CALL.peerSequences] = 0;
    });
    this.#enter(slot, row, null);
    return slot;
  }

  /** Changes what `changes` names. False, and nothing changed, when it cannot be (see `refusal`). */
  update(slot: number, changes: Partial<SessionRow>): boolean {
    const before = this.#rows[slot];
    if (before == null) return false;
    const row = { ...before, ...changes };
    if (!this.#check(slot, row, before)) return false;
    this.#leave(slot, before, row);
    this.#rows[slot] = row;
    this.#write(slot, row);
    this.#enter(slot, row, before);
    if (row.state !== before.state) Atomics.add(this.#header, PLANE.holdGeneration, 1);
    return true;
  }

  setState(slot: number, state: SessionState): void {
    this.update(slot, { state });
  }

  /** Sequence numbers to go on with (a session that another process had). */
  setSequence(slot: number, sendNs: number, receiveNs: number): void {
    this.#calls[slot * CALL_WORDS + CALL.sendNs] = sendNs & 0xffff;
    this.#calls[slot * CALL_WORDS + CALL.receiveNs] = (receiveNs & 0xffff) | 0x10000;
  }

  /** Ns that goes out next and Ns that is expected next. */
  sequence(slot: number): { sendNs: number; receiveNs: number } {
    const at = slot * CALL_WORDS;
    return { sendNs: this.#calls[at + CALL.sendNs] & 0xffff, receiveNs: this.#calls[at + CALL.receiveNs] & 0xffff };
  }

  remove(slot: number): void {
    const row = this.#rows[slot];
    if (row == null) return;
    this.#leave(slot, row, null);
    this.#rows[slot] = null;
    this.#routePlaces[slot] = [];
    this.#used--;
    const at = slot * CALL_WORDS;
    const version = this.#calls[at + CALL.version];
    Atomics.store(this.#calls, at + CALL.version, version | 1);
    Atomics.store(this.#calls, at + CALL.kind, CALL_KIND.free);
    Atomics.store(this.#calls, at + CALL.version, ((version | 1) + 1) | 0);
    Atomics.add(this.#header, PLANE.holdGeneration, 1);
    this.#free.push(slot);
  }

  counters(slot: number): SessionCounters {
    const sums = this.#sums(slot);
    const base = slot * COUNTED.length;
    const of = (i: number): number => {
      const difference = sums[i] - this.#before[base + i];
      return difference < 0 ? difference + TWO_32 : difference;
    };
    return {
      packetsIn: of(0),
      bytesIn: of(1),
      packetsOut: of(2),
      bytesOut: of(3),
      spoofed: of(4),
      sequence: of(5),
      tooBig: of(6),
      hold: of(7),
      other: of(8),
    };
  }

  /** CLOCK_MONOTONIC seconds of its last data packet, either way; 0 none yet. A place's former session may show: take the later of this and the session's own beginning. */
  lastSeen(slot: number): number {
    let last = 0;
    for (let worker = 0; worker < this.layout.workers; worker++) {
      const at = (worker * this.layout.sessions + slot) * COUNT_WORDS;
      last = Math.max(last, this.#counts[at + COUNT.lastIn] >>> 0, this.#counts[at + COUNT.lastOut] >>> 0);
    }
    return last;
  }

  #sums(slot: number): number[] {
    const c = this.#counts;
    return COUNTED.map((word, i) => {
      let sum = 0;
      for (let worker = 0; worker < this.layout.workers; worker++) {
        const at = (worker * this.layout.sessions + slot) * COUNT_WORDS + word;
        sum += i < WIDE ? wide(c, at) : Atomics.load(c, at) >>> 0;
      }
      return sum;
    });
  }

  #refuse(refusal: SessionRefusal): -1 {
    this.#refusal = refusal;
    return -1;
  }

  #check(slot: number, row: SessionRow, before: SessionRow | null): boolean {
    const taken = (kind: number, key: readonly number[]): boolean => {
      const found = this.#index.find(kind, key);
      return found >= 0 && (kind === REFERENCE.route ? this.#routes[found * ROUTE_WORDS + ROUTE.slot] : found) !== slot;
    };
    const { tunnel, access, prefix } = row;
    if (tunnel !== null && taken(REFERENCE.tunnel, tunnelKey(tunnel))) return this.#refuse('ids-in-use') >= 0;
    if (access !== null && taken(REFERENCE.access, accessKey(access))) return this.#refuse('access-in-use') >= 0;
    if (row.ipv4 !== 0 && taken(REFERENCE.address, [row.ipv4 | 0])) return this.#refuse('address-in-use') >= 0;
    if (prefix !== null && taken(REFERENCE.prefix, prefixKey(prefix))) return this.#refuse('address-in-use') >= 0;
    if (row.routes !== before?.routes) {
      if (row.routes.some((route) => taken(REFERENCE.route, routeKey(route)))) {
        return this.#refuse('address-in-use') >= 0;
      }
      const room = this.#freeRoutes.length + this.#routePlaces[slot].length;
      if (row.routes.length > room) return this.#refuse('routes-full') >= 0;
    }
    return true;
  }

  /** Everything but the index, between an odd and an even version. */
  #write(slot: number, row: SessionRow, more?: () => void): void {
    const w = this.#calls;
    const at = slot * CALL_WORDS;
    const writing = w[at + CALL.version] | 1;
    Atomics.store(w, at + CALL.version, writing);
    const { tunnel, access } = row;
    let flags = row.flags & ~OWN_FLAGS;
    if (row.routes.length > 0) flags |= CALL_FLAG.hasRoutes;
    if (tunnel !== null) {
      flags |= CALL_FLAG.tunnel;
      w[at + CALL.localIds] = (tunnel.localTunnelId << 16) | tunnel.localSessionId;
      w[at + CALL.peerIds] = (tunnel.peerTunnelId << 16) | tunnel.peerSessionId;
      w[at + CALL.socket] = (tunnel.socket << 16) | tunnel.port;
      for (let i = 0; i < 4; i++) w[at + CALL.peer + i] = tunnel.address[i];
    }
    if (access !== null) {
      flags |= CALL_FLAG.access;
      const { mac } = access;
      w[at + CALL.access] = (access.access << 16) | access.sessionId;
      w[at + CALL.macHigh] = (mac[0] << 24) | (mac[1] << 16) | (mac[2] << 8) | mac[3];
      w[at + CALL.macLow] = (mac[4] << 24) | (mac[5] << 16);
    }
    w[at + CALL.kind] = (flags << 8) | (CALL_STATE[row.state] << 4) | CALL_KIND[row.kind];
    w[at + CALL.address] = row.ipv4 | 0;
    w[at + CALL.prefix] = row.prefix?.[0] ?? 0;
    w[at + CALL.prefix + 1] = row.prefix?.[1] ?? 0;
    w[at + CALL.limits] = (row.mru << 16) | row.clampMss;
    more?.();
    Atomics.store(w, at + CALL.version, (writing + 1) | 0);
  }

  #enter(slot: number, row: SessionRow, before: SessionRow | null): void {
    for (const [kind, key] of keysOf(row)) if (!hasKey(before, kind, key)) this.#index.add(kind, key, slot);
    if (row.routes === before?.routes) return;
    this.#routePlaces[slot] = row.routes.map((route) => {
      const place = this.#freeRoutes.pop() as number;
      const at = place * ROUTE_WORDS;
      const writing = this.#routes[at + ROUTE.version] | 1;
      Atomics.store(this.#routes, at + ROUTE.version, writing);
      for (let i = 0; i < 4; i++) this.#routes[at + ROUTE.address + i] = route.address[i];
      this.#routes[at + ROUTE.bits] = route.length;
      this.#routes[at + ROUTE.slot] = slot;
      Atomics.store(this.#routes, at + ROUTE.version, (writing + 1) | 0);
      this.#index.add(REFERENCE.route, routeKey(route), place);
      this.#countLength(route);
      return place;
    });
  }

  /** Takes out of the index what `after` does not have any more. */
  #leave(slot: number, row: SessionRow, after: SessionRow | null): void {
    for (const [kind, key] of keysOf(row)) if (!hasKey(after, kind, key)) this.#index.remove(kind, key, slot);
    if (row.routes === after?.routes) return;
    for (const [i, place] of this.#routePlaces[slot].entries()) {
      this.#index.remove(REFERENCE.route, routeKey(row.routes[i]), place);
      this.#freeRoutes.unshift(place);
    }
    this.#routePlaces[slot] = [];
  }

  /** Lengths that have been used stay in the header: a look at one more length costs a worker little. */
  #countLength({ address, length }: SessionRoute): void {
    const ipv4 = isIpv4(address) && length >= 96;
    const bit = ipv4 ? length - 96 : length;
    const word = (ipv4 ? PLANE.lengths4 : PLANE.lengths6) + (bit >> 5);
    Atomics.or(this.#header, word, 1 << (bit & 31));
  }

  #holds(kind: number, place: number, key: readonly number[]): boolean {
    const w = this.#calls;
    const at = place * CALL_WORDS;
    switch (kind) {
      case REFERENCE.tunnel:
        return w[at + CALL.localIds] === key[0];
      case REFERENCE.access:
        return w[at + CALL.access] === key[0];
      case REFERENCE.address:
        return w[at + CALL.address] === key[0];
      case REFERENCE.prefix:
        return w[at + CALL.prefix] === key[0] && w[at + CALL.prefix + 1] === key[1];
      default: {
        const from = place * ROUTE_WORDS;
        if (this.#routes[from + ROUTE.bits] !== key[0]) return false;
        for (let i = 0; i < 4; i++) if (this.#routes[from + ROUTE.address + i] !== key[i + 1]) return false;
        return true;
      }
    }
  }
}

const isIpv4 = (words: Words): boolean => words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
const tunnelKey = (tunnel: SessionTunnel): number[] => [(tunnel.localTunnelId << 16) | tunnel.localSessionId];
const accessKey = (access: SessionAccess): number[] => [(access.access << 16) | access.sessionId];
const prefixKey = (prefix: readonly [number, number]): number[] => [prefix[0] | 0, prefix[1] | 0];

/** The length, and the address with all bits beyond it clear. */
function routeKey({ address, length }: SessionRoute): number[] {
  const key = [length];
  for (let i = 0; i < 4; i++) {
    const bits = Math.min(32, Math.max(0, length - i * 32));
    key.push(bits === 0 ? 0 : address[i] & (-1 << (32 - bits)));
  }
  return key;
}

function keysOf(row: SessionRow): (readonly [kind: number, key: readonly number[]])[] {
  const keys: (readonly [number, readonly number[]])[] = [];
  if (row.tunnel !== null) keys.push([REFERENCE.tunnel, tunnelKey(row.tunnel)]);
  if (row.access !== null) keys.push([REFERENCE.access, accessKey(row.access)]);
  if (row.ipv4 !== 0) keys.push([REFERENCE.address, [row.ipv4 | 0]]);
  if (row.prefix !== null) keys.push([REFERENCE.prefix, prefixKey(row.prefix)]);
  return keys;
}

function hasKey(row: SessionRow | null, kind: number, key: readonly number[]): boolean {
  if (row === null) return false;
  return keysOf(row).some(([k, other]) => k === kind && other.every((word, i) => word === key[i]));
}

/** A 64-bit counter that another thread adds to: high word, low word, high word again. */
function wide(words: Int32Array, at: number): number {
  for (;;) {
    const high = Atomics.load(words, at + 1) >>> 0;
    const low = Atomics.load(words, at) >>> 0;
    if (Atomics.load(words, at + 1) >>> 0 === high) return high * TWO_32 + low;
  }
}
