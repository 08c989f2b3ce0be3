/**
 * Control messages: blocks 312 to 320 of document 003. A request that nobody knows is designated and mapped, an answer
 * completes the map, everything else keeps the tunnel's state up to date. Runs only in the shard that owns the
 * client's address; what arrives elsewhere is handed over. Protocol knowledge comes as events of the descriptor.
 */
import { type Designator, NO_ROOM } from '../designation/designate.js';
import type { Lending } from '../designation/lending.js';
import { ownerSlot } from '../flow/hash.js';
import {
  FLAG_DENIED,
  RECORD,
  RECORD_STATE,
  SERVER_CELL,
  CELL_WORDS,
  TABLE_HALF_OPEN,
  TABLE_REVERSE_HALF_OPEN,
} from '../flow/layout.js';
import type { TimerWheel } from '../flow/timer-wheel.js';
import { VERDICT_HANDED } from '../io/port.js';
import {
  EVENT_CLOSE,
  EVENT_CONNECTED,
  EVENT_REPLY,
  EVENT_REQUEST,
  EVENT_SESSION_CLOSE,
  EVENT_SESSION_CONNECTED,
  EVENT_SESSION_REPLY,
  EVENT_SESSION_REQUEST,
  newControlEvent,
  type TunnelDescriptor,
} from '../tunnels/descriptor.js';
import { Answers, HELD } from './answers.js';
import {
  type Batch,
  KEY_STRIDE,
  KIND_CONTROL_IN,
  KIND_DONE,
  KIND_MISSED_OUT,
  KIND_UNBOUND_IN,
  KIND_UNBOUND_OUT,
} from './batch.js';
import { drop, dropMalformed, wasHanded } from './classify.js';
import type { ClientHops } from './client-hops.js';
import { COUNTER } from './counters.js';
import type { Directory } from './directory.js';
import { DROP } from './drop-reasons.js';
import { CLOSE_REASON } from './event-tap.js';
import { Elsewhere } from './elsewhere.js';
import type { Farewell } from './farewell.js';
import type { FloatingPorts } from './floating-ports.js';
import { FOLLOW } from './follow-class.js';
import type { Followers } from './followers.js';
import { Following } from './following.js';
import type { FullNat } from './full-nat.js';
import type { Heirs } from './heirs.js';
import type { Relay } from './relay.js';
import type { HandOver } from './hand-over.js';
import type { Offload } from './offload.js';
import type { RequestPolicy } from './request-policy.js';
import { NAT_HELD, NatPart } from './nat-part.js';
import { ReplyWays } from './reply-ways.js';
import { RequestPrints, requestPrint } from './request-print.js';
import { ServerChoice } from './server-choice.js';
import { Sessions } from './sessions.js';
import type { ProbeEar } from './probe-ear.js';
import type { ServerWatch } from './server-watch.js';
import { TunnelDraft } from './tunnel-draft.js';
import type { TunnelStore } from './tunnel-store.js';
import { VirtualChannels } from './virtual-channels.js';
import { VirtualPorts } from './virtual-ports.js';

/** What a hidden id is replaced by in the key of its request; no id has this bit. */
const PRINT_BIT = 0x80000000 | 0;

export interface TrackerParts {
  readonly shard: number;
  readonly store: TunnelStore;
  readonly wheel: TimerWheel;
  readonly designator: Designator;
  readonly hops: ClientHops;
  readonly policy: RequestPolicy;
  readonly handOver: HandOver;
  readonly floating: FloatingPorts;
  readonly offload: Offload;
  readonly watch: ServerWatch;
  readonly lending: Lending;
  readonly farewell: Farewell;
  readonly ear: ProbeEar;
  readonly heirs: Heirs;
  readonly relay: Relay;
  readonly followers: Followers;
  readonly fullNat: FullNat;
  readonly statistics: Float64Array;
}

export class Tracker {
  readonly #event = newControlEvent();
  readonly #draft = new TunnelDraft();
  readonly #channels: VirtualChannels;
  readonly #ports: VirtualPorts;
  readonly #following: Following;
  readonly #choice: ServerChoice;
  readonly #answers: Answers;
  readonly nat: NatPart;
  readonly #ways: ReplyWays;
  /** A repeated request is the same byte for byte. */
  readonly #prints: RequestPrints;
  readonly #p: TrackerParts;
  readonly #sessions: Sessions;
  readonly #elsewhere: Elsewhere;
  #directory!: Directory;
  #nowSeconds = 0;
  #nowMs = 0;
  /** Seconds with their fraction. */
  #now = 0;

  constructor(parts: TrackerParts) {
    this.#p = parts;
    this.#sessions = new Sessions(parts.store);
    this.#elsewhere = new Elsewhere(parts);
    const { store, designator, statistics } = parts;
    this.#channels = new VirtualChannels(store, statistics);
    this.#ports = new VirtualPorts(store, statistics);
    this.#following = new Following(store, designator.cells);
    this.#choice = new ServerChoice(store, designator, parts.lending, statistics);
    const nat = new NatPart(parts, this.#event, this.#draft);
    this.nat = nat;
    const ids = { channels: this.#channels, ports: this.#ports };
    this.#answers = new Answers(parts, this.#event, this.#draft, ids, this.#following, nat);
    this.#ways = new ReplyWays(parts, this.#answers);
    this.#prints = new RequestPrints(store.memory);
  }

  setDirectory(directory: Directory): void {
    this.#directory = directory;
    this.#answers.setDirectory(directory);
    this.nat.setDirectory(directory);
  }

  setTime(seconds: number): void {
    this.#now = seconds;
    this.#nowSeconds = Math.floor(seconds);
    this.#nowMs = Math.floor(seconds * 1000) | 0;
    this.#answers.setTime(this.#nowSeconds, this.#nowMs);
    this.nat.setTime(this.#nowSeconds, this.#nowMs);
    this.#ways.setTime(this.#nowSeconds, this.#nowMs);
  }

  /** A control frame: gives it a verdict. */
  control(batch: Batch, i: number): void {
    const row = i * KEY_STRIDE;
    const keys = batch.keys;
    // The client of what comes to a VIP's local address is the tunnel's that has the port.
    const local = this.#directory.hasLocal ? this.#p.fullNat.recordOf(keys, row) : -1;
    let owner = this.#p.store.memory.ownerSlots[ownerSlot(keys[row], keys[row + 1], keys[row + 2], keys[row + 3])];
    if (local >= 0) owner = this.#p.store.ownerOf(local, this.#p.shard);
    if (owner !== this.#p.shard && !wasHanded(batch, i)) {
      if (!this.#p.handOver.push(owner, batch, i)) return this.#drop(batch, i, DROP['hand-over-full']);
      this.#p.statistics[COUNTER.handedOver]++;
      return this.#finish(batch, i, VERDICT_HANDED);
    }
    const descriptor = this.#directory.descriptor(batch.protocol[i]);
    if (batch.kind[i] === KIND_MISSED_OUT) {
      const slot = this.nat.missed(batch, i, descriptor, (record) => this.#stands(record));
      return slot < 0 ? this.#drop(batch, i, -1 - slot) : this.#finish(batch, i, slot);
    }
    const kind = descriptor.read(batch.view, batch.l4[i], batch.end[i], this.#event);
    if (kind < 0) return dropMalformed(batch, i, this.#p.statistics, descriptor.id, -1 - kind);
    switch (batch.kind[i]) {
      case KIND_UNBOUND_IN:
        return this.#unboundIn(batch, i, descriptor);
      case KIND_UNBOUND_OUT:
        if (local >= 0) return this.#unknownServer(batch, i, descriptor);
        return this.#unboundOut(batch, i, descriptor);
      default:
        return this.#bound(batch, i, descriptor, batch.kind[i] === KIND_CONTROL_IN);
    }
  }

  // ── messages without a channel: requests, and ends of tunnels that never got an answer ────────────────────────────

  #unboundIn(batch: Batch, i: number, descriptor: TunnelDescriptor): void {
    const { store, wheel, watch, farewell, statistics } = this.#p;
    const event = this.#event;
    const keys = batch.keys;
    const row = i * KEY_STRIDE;
    if (this.nat.active && event.kind === EVENT_REQUEST) return this.#drop(batch, i, DROP['nat-request']);
    const print = requestPrint(batch, i);
    if (event.assignedHidden) this.#answers.unhide(batch, i, descriptor, this.#directory.vip(batch.local[i]));
    const requestKey = event.assignedHidden ? print | PRINT_BIT : event.assigned;
    if ((event.kind !== EVENT_REQUEST && event.kind !== EVENT_CLOSE) || requestKey === 0)
      return this.#unknown(batch, i);
    const vip = this.#directory.vip(batch.local[i]);
    keys[row + 5] = requestKey;
    keys[row + 6] = (keys[row + 6] & ~0xff) | TABLE_HALF_OPEN;
    let slot = store.table.find(keys, row);
    if (slot < 0 && vip !== null && vip.address !== keys[row + 6] >>> 16) {
      if (event.kind === EVENT_REQUEST) return this.#refuse(batch, i, DROP['nat-request']);
      slot = this.#ways.atVip(batch, i, this.#directory);
    }
    if (slot >= 0) {
      const record = store.table.recordOf(slot);
      if ((store.table.flagsOf(slot) & FLAG_DENIED) !== 0) return this.#drop(batch, i, DROP['firewall-denied']);
      if (store.isForeign(record)) return this.#elsewhere.foreign(batch, i, record, true);
      const state = store.state(record);
      const asks = event.kind === EVENT_REQUEST;
      // A tunnel that waits for its answer here gets copies alone.
      const reused = asks && state !== RECORD_STATE.halfOpen && this.#prints.differs(record, print);
      if (asks && !reused && !this.#p.policy.mayRepeat(record, state, this.#nowMs)) {
        statistics[COUNTER.requestsRepeated]++;
        return this.#drop(batch, i, DROP['request-repeated']);
      }
      if (!reused) watch.fromClient(record, event);
      if (event.kind === EVENT_CLOSE) {
        if (farewell.message(record, true, event, this.#directory)) return this.#finish(batch, i, VERDICT_HANDED);
        this.#closing(record, CLOSE_REASON.clientStop, event.result);
      } else if (state === RECORD_STATE.closing || (reused && state === RECORD_STATE.passed)) {
        // The same id again after the end of the tunnel that had it: a new tunnel, not a late copy.
        wheel.cancel(record);
        store.release(record, this.#nowMs);
        return this.#request(batch, i, descriptor, requestKey, print);
      } else if (store.word(record, RECORD.serverChannel) === 0 && watch.isDoubtful(store.serverIndex(record))) {
        // Its server seems to be dead: another one gets the request.
        wheel.cancel(record);
        store.release(record, this.#nowMs, CLOSE_REASON.serverDown);
        statistics[COUNTER.requestsMoved]++;
        return this.#request(batch, i, descriptor, requestKey, print, true);
      } else if (reused) {
        // The tunnel stands, so this cannot be a copy that it waits for: the client has begun anew and gives the id again.
        statistics[COUNTER.idsReused]++;
        store.forgetRequest(record, this.#nowMs);
        return this.#request(batch, i, descriptor, requestKey, print);
      } else {
        statistics[COUNTER.requestsRepeated]++;
        if (event.recoverPeer !== 0) this.#answers.nameRecovered(batch, i, descriptor, record);
        const anew = this.#ways.insists(batch, i, descriptor, record, this.#directory);
        if (anew) return this.#request(batch, i, descriptor, requestKey, print);
      }
      return this.#finish(batch, i, slot);
    }
    if (event.kind === EVENT_CLOSE) return this.#unknown(batch, i);
    this.#request(batch, i, descriptor, requestKey, print);
  }

  /** Block 314: designate, then 316: a new address map. */
  #request(
    batch: Batch,
    i: number,
    descriptor: TunnelDescriptor,
    requestKey: number,
    print: number,
    moved = false,
  ): void {
    const { store, hops, policy, wheel, watch, followers, fullNat, statistics } = this.#p;
    const keys = batch.keys;
    const row = i * KEY_STRIDE;
    const vip = this.#directory.vip(batch.local[i]);
    // A copy for whoever has the tunnel makes none where nobody has it.
    if (vip === null || this.#p.relay.wasTaken(batch, i, true)) return this.#unknown(batch, i);
    const refused = policy.judge(batch, i, descriptor, this.#directory, requestKey, moved, this.#now);
    // A flood is not told request by request.
    if (refused === DROP['request-unproven']) return this.#drop(batch, i, refused);
    if (refused >= 0) return this.#refuse(batch, i, refused, policy.refusingRule);
    const [a0, a1, a2, a3] = [keys[row], keys[row + 1], keys[row + 2], keys[row + 3]];
    this.#choice.look(batch, i, descriptor, vip);
    const draft = this.#draft;
    draft.begin(vip, descriptor.id, descriptor.hasPorts, keys, row);
    draft.requestKey = requestKey;
    draft.clientChannel = this.#event.assigned;
    this.#ways.prepare(draft);
    const { local, together } = this.#ways;
    const following = this.#following;
    const older = following.server(vip, this.#event, a0, a1, a2, a3, draft.clientPort, this.#nowSeconds, together);
    const followed = moved ? -1 : older;
    if (following.lost) statistics[COUNTER.recoveriesUnknown]++;
    store.lock.acquire(this.#p.shard);
    let record = -1;
    let reason: number = DROP['table-full'];
    // Who is answered elsewhere need not be reachable from here.
    const hop = draft.oneWay ? 0 : hops.ofFrame(batch, i, this.#nowSeconds);
    if (hop < 0) reason = -1 - hop;
    else {
      let index = this.#choice.take(draft, followed, moved);
      if (local >= 0) index = this.#ways.away(index, draft);
      const server = index < 0 ? null : this.#directory.server(index);
      if (server === null) reason = index === NO_ROOM ? DROP['server-pace'] : DROP['no-server'];
      else {
        draft.server = server;
        draft.clientNextHop = hop;
        draft.serverNextHop = this.#cell(server.index, SERVER_CELL.nextHop);
        if (local < 0) draft.virtualPort = draft.oneWay ? 0 : this.#ports.towardsServer(draft);
        else if (!fullNat.choose(draft, local)) draft.virtualPort = -1;
        if (draft.virtualPort < 0) reason = DROP['no-client-port'];
        else record = store.create(draft, this.#nowSeconds, this.#nowMs);
        if (record >= 0) this.#choice.made(record);
      }
    }
    store.lock.release(this.#p.shard);
    if (record < 0) return this.#refuse(batch, i, reason);
    statistics[COUNTER.requests]++;
    this.#prints.keep(record, print);
    policy.made(batch, i, descriptor, record, this.#nowSeconds, this.#nowMs);
    if (followed >= 0) statistics[COUNTER.followed]++;
    if (vip.reply !== 'vip') followers.requested(record, this.#now);
    watch.fromClient(record, this.#event);
    if (this.#event.recoverPeer !== 0) this.#answers.nameRecovered(batch, i, descriptor, record);
    wheel.schedule(record, this.#nowSeconds + this.#directory.plan.timeouts.halfOpen);
    this.#finish(batch, i, store.word(record, RECORD.entryHalfOpen) - 1);
  }

  /** A server asks a client for a tunnel: it passes outward and makes the table in the other direction. */
  #unboundOut(batch: Batch, i: number, descriptor: TunnelDescriptor): void {
    const { store, hops, wheel, watch, statistics } = this.#p;
    const event = this.#event;
    const keys = batch.keys;
    const row = i * KEY_STRIDE;
    const port = descriptor.hasPorts ? batch.view.getUint16(batch.l4[i]) : 0;
    const address = keys[row + 6] >>> 16;
    const server = this.#directory.serverAt(address, port);
    if (server !== null) watch.heard(server.index);
    if (server !== null && event.assignedHidden)
      this.#answers.unhide(batch, i, descriptor, this.#directory.vip(this.#cell(server.index, SERVER_CELL.vip)));
    if (server === null || event.assigned === 0 || (event.kind !== EVENT_REQUEST && event.kind !== EVENT_CLOSE)) {
      return this.#drop(batch, i, event.assignedHidden ? DROP['hidden-channel'] : DROP['unknown-server']);
    }
    keys[row + 5] = event.assigned;
    keys[row + 6] = (keys[row + 6] & ~0xff) | TABLE_REVERSE_HALF_OPEN;
    const slot = store.table.find(keys, row);
    if (slot >= 0) {
      const record = store.table.recordOf(slot);
      if (store.isForeign(record)) return this.#elsewhere.foreign(batch, i, record, false);
      if (event.kind === EVENT_CLOSE) this.#closing(record, CLOSE_REASON.serverStop, event.result);
      else if (store.state(record) === RECORD_STATE.closing) {
        wheel.cancel(record);
        store.release(record, this.#nowMs);
        return this.#unboundOut(batch, i, descriptor);
      } else statistics[COUNTER.requestsRepeated]++;
      this.#answers.showAssigned(batch, i, descriptor, record);
      if (event.recoverOwn !== 0) this.#answers.nameRecovering(batch, i, descriptor, address);
      return this.#finish(batch, i, slot);
    }
    const vip = this.#directory.vip(this.#cell(server.index, SERVER_CELL.vip));
    if (event.kind === EVENT_CLOSE || vip === null) return this.#drop(batch, i, DROP['unknown-server']);
    const draft = this.#draft;
    draft.begin(vip, descriptor.id, descriptor.hasPorts, keys, row);
    draft.server = server;
    draft.fromServer = true;
    draft.requestKey = event.assigned;
    draft.serverChannel = event.assigned;
    draft.shownAddress = this.#p.followers.addressFor(vip, draft.a0, draft.a1, draft.a2, draft.a3);
    draft.virtualChannel = this.#channels.choose(draft, vip.port, event.assigned, -1);
    if (draft.virtualChannel < 0) return this.#drop(batch, i, DROP['channel-collision']);
    store.lock.acquire(this.#p.shard);
    let record = -1;
    const hop = hops.find(draft.a0, draft.a1, draft.a2, draft.a3, null, 0, 0, this.#nowSeconds);
    if (hop >= 0) {
      draft.clientNextHop = hop;
      draft.serverNextHop = this.#cell(server.index, SERVER_CELL.nextHop);
      record = store.create(draft, this.#nowSeconds, this.#nowMs);
    }
    store.lock.release(this.#p.shard);
    if (record < 0) return this.#drop(batch, i, hop < 0 ? -1 - hop : DROP['table-full']);
    statistics[COUNTER.requests]++;
    watch.fromServer(record, event);
    wheel.schedule(record, this.#nowSeconds + this.#directory.plan.timeouts.halfOpen);
    this.#answers.showAssigned(batch, i, descriptor, record);
    if (event.recoverOwn !== 0) this.#answers.nameRecovering(batch, i, descriptor, address);
    this.#finish(batch, i, store.word(record, RECORD.entryHalfOpen) - 1);
  }

  // ── messages of a known tunnel ────────────────────────────────────────────────────────────────────────────────────

  #bound(batch: Batch, i: number, descriptor: TunnelDescriptor, fromClient: boolean): void {
    const { store, watch, farewell, statistics } = this.#p;
    const row = i * KEY_STRIDE;
    let slot = this.#ways.entry(batch, i, fromClient ? this.#event.kind : EVENT_REPLY, this.#directory);
    let record = slot >= 0 ? store.table.recordOf(slot) : this.#answers.meant(batch, i, descriptor, fromClient);
    if (!fromClient) record = this.nat.ofServer(batch, i, descriptor, record);
    if (record === NAT_HELD) return this.#finish(batch, i, VERDICT_HANDED);
    if (record < -1) return this.#drop(batch, i, -2 - record);
    if (record < 0) return fromClient ? this.#unknown(batch, i) : this.#unknownServer(batch, i, descriptor);
    const event = this.#event;
    if (slot >= 0 && (store.table.flagsOf(slot) & FLAG_DENIED) !== 0)
      return this.#drop(batch, i, DROP['firewall-denied']);
    if (store.isForeign(record)) return this.#elsewhere.foreign(batch, i, record, fromClient);
    const vip = this.#directory.vip(store.vipIndex(record));
    if (event.assignedHidden) this.#answers.unhide(batch, i, descriptor, vip);
    let refused = -1;
    if (!fromClient && descriptor.hasPorts) refused = this.#answers.mayComeFrom(batch, i, record);
    if (refused === -1) {
      if (fromClient) watch.fromClient(record, event);
      else watch.fromServer(record, event);
      if (farewell.message(record, fromClient, event, this.#directory)) return this.#finish(batch, i, VERDICT_HANDED);
      if (event.kind === EVENT_REPLY || this.nat.answers(record, fromClient)) {
        refused = this.#answers.reply(batch, i, descriptor, record, fromClient);
        // Its server lives and answers: so it was the client that did not take what came from elsewhere.
        if (vip?.oneWay === true && store.localEntry(record) >= 0) this.#p.followers.learn(vip, record, FOLLOW.refuses);
      }
    }
    if (refused === HELD) {
      statistics[COUNTER.held]++;
      return this.#finish(batch, i, VERDICT_HANDED);
    }
    if (refused >= 0) return this.#drop(batch, i, refused);
    if (slot < 0) slot = store.table.find(batch.keys, row);
    if (slot < 0) return this.#unknown(batch, i);
    if (!fromClient && this.nat.stands(record, descriptor)) this.#stands(record);
    if (fromClient && vip?.reply === 'nat' && vip.oneWay !== true && event.kind === EVENT_CONNECTED)
      this.#ways.moved(batch, i, record, vip);
    this.#learn(record, fromClient);
    if (event.kind === EVENT_CONNECTED) this.#p.policy.stands(batch.keys, row, this.#now);
    if (!fromClient) this.#answers.showAssigned(batch, i, descriptor, record);
    this.#finish(batch, i, slot);
  }

  #learn(record: number, fromClient: boolean): void {
    const { offload, statistics } = this.#p;
    const event = this.#event;
    switch (event.kind) {
      case EVENT_CONNECTED:
        return this.#stands(record);
      case EVENT_CLOSE:
        return this.#closing(record, fromClient ? CLOSE_REASON.clientStop : CLOSE_REASON.serverStop, event.result);
      case EVENT_SESSION_REQUEST:
        if (!this.#sessions.request(record, fromClient, event.assignedSession)) statistics[COUNTER.sessionsUnlisted]++;
        return;
      case EVENT_SESSION_REPLY:
        return this.#sessions.reply(record, fromClient, event.session, event.assignedSession);
      case EVENT_SESSION_CONNECTED:
        this.#sessions.connect(record, fromClient, event.session);
        return offload.sessionConnected(record);
      case EVENT_SESSION_CLOSE:
        this.#sessions.close(record, fromClient, event.session, event.assignedSession, event.result);
        return offload.sessionClosed(record);
    }
  }

  #stands(record: number): void {
    const { store, wheel, offload } = this.#p;
    if (store.state(record) !== RECORD_STATE.halfOpen && store.state(record) !== RECORD_STATE.passed) return;
    store.establish(record);
    // Late copies of the request may still come for one retransmission cycle (RFC 2661 §5.8).
    wheel.schedule(record, this.#nowSeconds + this.#directory.plan.timeouts.closing);
    offload.established(record);
  }

  /** Ends a tunnel of this shard's own, for another CLOSE_REASON than a message. */
  close(record: number, reason: number = CLOSE_REASON.command): void {
    this.#closing(record, reason, -1);
  }

  /** The mapping stays for a full retransmission cycle (RFC 2661 §5.7), then the wheel releases it. */
  #closing(record: number, reason: number, result: number): void {
    if (this.#p.store.state(record) === RECORD_STATE.closing) return;
    this.#p.offload.withdraw(record);
    this.#p.store.close(record, reason, result);
    this.#p.wheel.schedule(record, this.#nowSeconds + this.#directory.plan.timeouts.closing);
  }

  // ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #cell(server: number, word: number): number {
    return this.#p.store.memory.servers[server * CELL_WORDS + word];
  }

  /** Not of any tunnel. On a port that no VIP has it may be the host's own traffic: the firewall has had its say. */
  #unknown(batch: Batch, i: number): void {
    if (!this.#elsewhere.unknown(batch, i, true)) this.#drop(batch, i, DROP['unknown-tunnel']);
  }

  /** A request for a new tunnel ends here. */
  #refuse(batch: Batch, i: number, reason: number, rule = -1): void {
    const vip = this.#directory.vip(batch.local[i]);
    this.#p.store.events?.refused(batch, i, vip?.index ?? 0xffff, this.#event.assigned, reason, rule);
    this.#drop(batch, i, reason);
  }

  /** A server speaks of a tunnel that is not in the table; it lives, if nothing else. */
  #unknownServer(batch: Batch, i: number, descriptor: TunnelDescriptor): void {
    const port = descriptor.hasPorts ? batch.view.getUint16(batch.l4[i]) : 0;
    const server = this.#directory.serverAt(batch.keys[i * KEY_STRIDE + 6] >>> 16, port);
    if (server !== null) this.#p.watch.heard(server.index);
    if (this.#p.ear.take(batch, i)) return this.#finish(batch, i, VERDICT_HANDED);
    if (this.#elsewhere.unknown(batch, i, false)) return;
    const taken = this.#p.heirs.have(batch.keys, i * KEY_STRIDE);
    this.#drop(batch, i, taken ? DROP['taken-over'] : DROP['unknown-server']);
  }

  #drop(batch: Batch, i: number, reason: number): void {
    drop(batch, i, this.#p.statistics, reason);
  }

  #finish(batch: Batch, i: number, verdict: number): void {
    batch.kind[i] = KIND_DONE;
    batch.columns.verdict[i] = verdict;
  }
}
