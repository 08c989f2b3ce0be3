/**
 * Answers to tunnel requests, and what they tell of ids: the tunnel's other id, read, un-hidden or learnt from what comes
 * next; the port that the server floated to; the ids that a message shows to the end that knows them by others. Works on
 * the tracker's own event and draft, so that nothing is copied.
 */
import { CELL_WORDS, RECORD, RECORD_STATE, SERVER_CELL } from '../flow/layout.js';
import { type ControlEvent, EVENT_REPLY, type TunnelDescriptor } from '../tunnels/descriptor.js';
import { type Batch, KEY_STRIDE } from './batch.js';
import { COUNTER } from './counters.js';
import type { Directory } from './directory.js';
import { DROP } from './drop-reasons.js';
import { CLOSE_REASON } from './event-tap.js';
import { FOLLOW } from './follow-class.js';
import type { Following } from './following.js';
import { HIDDEN_FULL, HIDDEN_MOVES, HIDDEN_WAITS, HiddenIds } from './hidden-ids.js';
import { AMBIGUOUS, passedTo } from './passed.js';
import { patchAssigned, patchWord } from './patch.js';
import type { NatPart } from './nat-part.js';
import type { PlanVip } from './plan.js';
import type { TrackerParts } from './tracker.js';
import type { TunnelDraft } from './tunnel-draft.js';
import type { VirtualChannels } from './virtual-channels.js';
import type { VirtualPorts } from './virtual-ports.js';

/** Answer of `mayComeFrom` and `reply`: the message waits until the main thread has been told of its port. */
export const HELD = -2;

export class Answers {
  readonly #p: TrackerParts;
  readonly #event: ControlEvent;
  readonly #draft: TunnelDraft;
  readonly #hidden: HiddenIds;
  readonly channels: VirtualChannels;
  #directory!: Directory;
  #nowSeconds = 0;
  #nowMs = 0;

  constructor(
    parts: TrackerParts,
    event: ControlEvent,
    draft: TunnelDraft,
    ids: { readonly channels: VirtualChannels; readonly ports: VirtualPorts },
    readonly following: Following,
    readonly nat: NatPart,
  ) {
    this.channels = ids.channels;
    this.#p = parts;
    this.#event = event;
    this.#draft = draft;
    this.#hidden = new HiddenIds(parts.store, parts.designator.cells, ids.ports, parts.statistics);
  }

  setDirectory(directory: Directory): void {
    this.#directory = directory;
  }

  setTime(nowSeconds: number, nowMs: number): void {
    this.#nowSeconds = nowSeconds;
    this.#nowMs = nowMs;
  }

  /** A server's message: may it come from this port? −1, HELD, or a drop reason. */
  mayComeFrom(batch: Batch, i: number, record: number): number {
    const { store, floating } = this.#p;
    const address = batch.keys[i * KEY_STRIDE + 6] >>> 16;
    const port = batch.view.getUint16(batch.l4[i]);
    const other = this.#directory.serverAt(address, port);
    if (other !== null && port !== store.word(record, RECORD.ports) >>> 16) {
      const own = this.#directory.server(store.serverIndex(record));
      if (own !== null && own.port !== port) return DROP['wrong-server'];
    }
    const wait = floating.check(batch, i, address, port, this.#directory);
    return wait < 0 ? DROP['held-limit'] : wait > 0 ? HELD : -1;
  }

  /** A message with an id that the table does not know: the tunnel that it must be meant for, whose id it shows; −1 none; or AMBIGUOUS. */
  meant(batch: Batch, i: number, descriptor: TunnelDescriptor, fromClient: boolean): number {
    const { store } = this.#p;
    const { kind } = this.#event;
    const row = i * KEY_STRIDE;
    const channel = batch.keys[row + 5];
    if (!fromClient) {
      const local = this.#p.fullNat.recordOf(batch.keys, row);
      const hides = local >= 0 && store.word(local, RECORD.clientChannel) === 0;
      const record = hides ? local : this.#hidden.meantByServer(batch, i, kind);
      const vip = record < 0 ? null : this.#directory.vip(store.vipIndex(record));
      if (vip === null || !this.#fillDraft(batch, i, descriptor, record, vip, false)) return -1;
      // No entry leads to this client yet that its next hop could be taken from.
      const { shard, hops } = this.#p;
      const { a0, a1, a2, a3 } = this.#draft;
      store.lock.acquire(shard);
      const hop = hops.find(a0, a1, a2, a3, null, 0, 0, this.#nowSeconds);
      store.lock.release(shard);
      if (hop < 0) return -1;
      this.#draft.clientNextHop = hop;
      return store.learnClient(record, this.#draft, channel, this.#nowSeconds, this.#nowMs) ? record : -1;
    }
    if (kind === EVENT_REPLY) {
      const record = this.#hidden.movedClient(batch, i);
      if (record >= 0) store.moveClient(record, this.#nowMs);
      return record;
    }
    const at = this.#directory.vip(batch.local[i]);
    if (at?.oneWay === true) {
      const passed = this.#carry(batch, i, descriptor, at);
      if (passed !== -1) return passed;
    }
    const port = batch.local[i] < 0 ? -1 : batch.keys[row + 4] & 0xffff;
    let record = this.#hidden.meantByClient(batch, i, kind, port);
    if (record < 0) record = this.nat.meant(batch, row);
    const vip = record < 0 ? null : this.#directory.vip(store.vipIndex(record));
    if (vip === null || !this.#fillDraft(batch, i, descriptor, record, vip, true)) return -1;
    const draft = this.#draft;
    // Of a tunnel whose answer was missed nothing was shown yet: it is where the client says.
    const ports = store.word(record, RECORD.ports) || (draft.server.port << 16) | (batch.keys[row + 4] & 0xffff);
    draft.serverChannel = channel;
    if (!store.confirm(record, draft, ports & 0xffff, ports >>> 16, this.#nowSeconds, this.#nowMs)) return -1;
    if (store.state(record) === RECORD_STATE.established) this.#p.offload.established(record);
    return record;
  }

  /**
   * A client goes on with a tunnel at the VIP whose answer did not pass here: it says its server's id, which leads to the
   * endpoint that its request was passed on to. The record, −1 none is meant, or AMBIGUOUS.
   */
  #carry(batch: Batch, i: number, descriptor: TunnelDescriptor, vip: PlanVip): number {
    const { store, followers, statistics } = this.#p;
    const row = i * KEY_STRIDE;
    const record = passedTo(store, vip, batch.keys, row, this.#p.designator.cells);
    if (record === -1) return -1;
    const server = record < 0 ? null : this.#directory.server(store.serverIndex(record));
    followers.set(
      vip.index,
      batch.keys[row],
      batch.keys[row + 1],
      batch.keys[row + 2],
      batch.keys[row + 3],
      FOLLOW.carried,
    );
    if (server === null || !this.#fillDraft(batch, i, descriptor, record, vip, true)) return AMBIGUOUS;
    const draft = this.#draft;
    draft.serverChannel = batch.keys[row + 5];
    draft.virtualChannel = 0;
    if (!store.confirm(record, draft, vip.port, server.port, this.#nowSeconds, this.#nowMs)) return -1;
    statistics[COUNTER.carriedOn]++;
    return record;
  }

  /** A client takes no answer but the VIP's: from now on this tunnel's come from there. */
  showVip(batch: Batch, i: number, descriptor: TunnelDescriptor, record: number, vip: PlanVip): void {
    const { store, statistics } = this.#p;
    if (store.shownAddress(record, vip) === vip.address) return;
    if (!this.#fillDraft(batch, i, descriptor, record, vip, true)) return;
    this.#draft.shownAddress = vip.address;
    const ports = store.word(record, RECORD.ports);
    statistics[COUNTER.answeredFromVip]++;
    store.confirm(record, this.#draft, ports & 0xffff, ports >>> 16, this.#nowSeconds, this.#nowMs);
  }

  /** The answer names the other end's id (and, by its source, the server's port). −1, HELD, or a drop reason. */
  reply(batch: Batch, i: number, descriptor: TunnelDescriptor, record: number, fromClient: boolean): number {
    const { store } = this.#p;
    const event = this.#event;
    if (store.state(record) !== RECORD_STATE.halfOpen) return -1; // a copy of an answer that was seen
    if (event.assigned === 0 && (!event.assignedHidden || fromClient)) return -1;
    const known = store.word(record, fromClient ? RECORD.clientChannel : RECORD.serverChannel);
    if (event.assigned !== 0 && known === event.assigned) return -1;
    const vip = this.#directory.vip(store.vipIndex(record));
    if (vip === null || !this.#fillDraft(batch, i, descriptor, record, vip, fromClient)) return DROP['unknown-tunnel'];
    const draft = this.#draft;
    const { server } = draft;
    let serverPort = server.port;
    if (fromClient) draft.clientChannel = event.assigned;
    else {
      draft.serverChannel = event.assigned;
      if (descriptor.hasPorts) serverPort = batch.view.getUint16(batch.l4[i]);
    }
    // On full NAT, because the client takes an answer from nowhere but where it has asked.
    const own = serverPort === server.port || vip.hideServerPort || draft.localAddress >= 0;
    const shownPort = own ? vip.port : serverPort;
    if (event.assigned === 0) return this.#replyHidden(batch, i, record, shownPort, serverPort);
    if (!fromClient) {
      draft.virtualChannel = this.channels.choose(draft, shownPort, event.assigned, record);
      if (draft.virtualChannel < 0) return DROP['channel-collision'];
      if (draft.virtualChannel > 0 && !patchAssigned(batch, i, descriptor, draft.virtualChannel, vip.secret))
        return DROP['channel-collision'];
    }
    // The dialogue begins with this answer, whatever another one has said before (a server that was started again).
    store.setSequence(record, fromClient, (event.ns + 1) & 0xffff, event.nr);
    return store.confirm(record, draft, shownPort, serverPort, this.#nowSeconds, this.#nowMs) ? -1 : DROP['table-full'];
  }

  /** A server's answer with an id that cannot be read: it passes when the client's next message will tell which tunnel it is. */
  #replyHidden(batch: Batch, i: number, record: number, usual: number, serverPort: number): number {
    const { store, wheel, floating, statistics } = this.#p;
    const draft = this.#draft;
    let port = this.#hidden.shownPort(draft, record, usual, this.#nowSeconds);
    // Who sees no requests cannot send one elsewhere.
    if (port === HIDDEN_MOVES && this.nat.active) port = this.#hidden.ownPort(draft);
    if (port === HIDDEN_FULL) return DROP['hidden-channel'];
    if (port === HIDDEN_WAITS) return DROP['hidden-channel-waits'];
    if (port === HIDDEN_MOVES) {
      statistics[COUNTER.hiddenMoved]++;
      wheel.cancel(record);
      store.release(record, this.#nowMs, CLOSE_REASON.moved);
      return DROP['hidden-channel-waits'];
    }
    if (port !== draft.vip.port) {
      const wait = floating.check(batch, i, draft.server.address, port, this.#directory);
      if (wait !== 0) return wait < 0 ? DROP['held-limit'] : HELD;
    }
    store.answerHidden(record, draft, port, serverPort);
    return -1;
  }

  unhide(batch: Batch, i: number, descriptor: TunnelDescriptor, vip: PlanVip | null): void {
    const secret = vip?.secret;
    if (secret === undefined || descriptor.unhide === undefined) return;
    const read = descriptor.unhide(batch.view, batch.l4[i], batch.end[i], secret, this.#event);
    this.#p.statistics[read ? COUNTER.hiddenRead : COUNTER.secretsWrong]++;
  }

  // ── ids in messages ───────────────────────────────────────────────────────────────────────────────────────────────

  /** Shows the virtual id in a server's message that names its own. */
  showAssigned(batch: Batch, i: number, descriptor: TunnelDescriptor, record: number): void {
    const virtual = this.#p.store.word(record, RECORD.virtualChannel);
    if (virtual === 0 || this.#event.assigned !== this.#p.store.word(record, RECORD.serverChannel)) return;
    const secret = this.#directory.vip(this.#p.store.vipIndex(record))?.secret;
    if (patchAssigned(batch, i, descriptor, virtual, secret)) this.#p.statistics[COUNTER.virtualChannels]++;
  }

  /** A client recovers a tunnel and names it by the id that it was shown: the server is told its own. */
  nameRecovered(batch: Batch, i: number, descriptor: TunnelDescriptor, record: number): void {
    const { store } = this.#p;
    const event = this.#event;
    const field = descriptor.recoverOffset?.(batch.view, batch.l4[i], batch.end[i], true) ?? -1;
    const old = this.following.recovered(record, event.recoverOwn, event.recoverPeer);
    if (field >= 0 && old >= 0) patchWord(batch, i, field, store.word(old, RECORD.serverChannel));
  }

  /** A server recovers a tunnel and names it by its own id: the client is told the one that it was shown. */
  nameRecovering(batch: Batch, i: number, descriptor: TunnelDescriptor, server: number): void {
    const { keys } = batch;
    const row = i * KEY_STRIDE;
    const event = this.#event;
    const field = descriptor.recoverOffset?.(batch.view, batch.l4[i], batch.end[i], false) ?? -1;
    const old = this.following.recovering(keys, row, server, event.recoverOwn, event.recoverPeer);
    const shown = old < 0 ? 0 : this.#p.store.word(old, RECORD.virtualChannel);
    if (field >= 0 && shown !== 0) patchWord(batch, i, field, shown);
  }

  /** False when the tunnel's server is in no plan. */
  #fillDraft(
    batch: Batch,
    i: number,
    descriptor: TunnelDescriptor,
    record: number,
    vip: PlanVip,
    fromClient: boolean,
  ): boolean {
    const { store } = this.#p;
    const server = this.#directory.server(store.serverIndex(record));
    if (server === null) return false;
    const draft = this.#draft;
    const keys = batch.keys;
    const row = i * KEY_STRIDE;
    draft.vip = vip;
    draft.server = server;
    draft.protocol = descriptor.id;
    draft.hasPorts = descriptor.hasPorts;
    const local = store.localEntry(record);
    const { table } = store;
    draft.localAddress = local < 0 ? -1 : this.#p.fullNat.addressOf(local);
    if (local < 0 || fromClient) {
      draft.a0 = keys[row];
      draft.a1 = keys[row + 1];
      draft.a2 = keys[row + 2];
      draft.a3 = keys[row + 3];
    } else {
      // The message came to the designator's own address: who it is for, another entry says.
      const slot = store.anyEntry(record);
      if (slot < 0) return false;
      draft.a0 = table.keyWord(slot, 0);
      draft.a1 = table.keyWord(slot, 1);
      draft.a2 = table.keyWord(slot, 2);
      draft.a3 = table.keyWord(slot, 3);
    }
    const clientPort = fromClient ? keys[row + 4] >>> 16 : store.clientPort(record);
    const towardsServer = store.portTowardsServer(record);
    draft.virtualPort = local < 0 && towardsServer === store.clientPort(record) ? 0 : towardsServer;
    draft.clientPort = descriptor.hasPorts ? clientPort : 0;
    draft.clientChannel = store.word(record, RECORD.clientChannel);
    draft.serverChannel = store.word(record, RECORD.serverChannel);
    draft.virtualChannel = store.word(record, RECORD.virtualChannel);
    draft.denied = false;
    draft.shownAddress = this.#p.store.shownAddress(record, vip);
    draft.oneWay = store.isOneWay(record);
    draft.clientNextHop = store.clientNextHop(record);
    draft.serverNextHop = store.memory.servers[server.index * CELL_WORDS + SERVER_CELL.nextHop];
    return true;
  }
}
