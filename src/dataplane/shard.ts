/**
 * A shard: one worker's share of the traffic. `turn` is a packet's whole life here, in the order of document 003's flow
 * chart; everything else in this file sets it up.
 */
import { Designator } from '../designation/designate.js';
import { Lending } from '../designation/lending.js';
import { ServerTable } from '../designation/servers.js';
import { ConnectionTable } from '../flow/connection-table.js';
import { RECORD, RECORD_WORDS, SHARD_LIMIT, type TableMemory } from '../flow/layout.js';
import { NextHopTable } from '../flow/next-hop-table.js';
import { RecordPool } from '../flow/record-pool.js';
import type { EventRing } from '../flow/event-ring.js';
import type { FrameRing } from '../flow/ring.js';
import { SpinLock } from '../flow/spin-lock.js';
import { TimerWheel } from '../flow/timer-wheel.js';
import { BATCH_CAPACITY, type PacketPort } from '../io/port.js';
import { DESCRIPTORS } from '../tunnels/index.js';
import type { TunnelDescriptor } from '../tunnels/descriptor.js';
import { Admission } from './admission.js';
import { Ageing } from './ageing.js';
import { Batch, KIND_CONTROL_IN, KIND_FRAGMENT, KIND_HOST, KIND_ICMP_ERROR, KIND_LOCAL } from './batch.js';
import { CaptureTap } from './capture-tap.js';
import { classify } from './classify.js';
import { ClientHops } from './client-hops.js';
import { COUNTER } from './counters.js';
import { Directory } from './directory.js';
import { EventTap } from './event-tap.js';
import { Farewell } from './farewell.js';
import { Firewall } from './firewall.js';
import { FloatingPorts } from './floating-ports.js';
import { Followers } from './followers.js';
import { Fragments } from './fragments.js';
import { FullNat } from './full-nat.js';
import type { HandOver } from './hand-over.js';
import { Heirs } from './heirs.js';
import { IcmpErrors } from './icmp-errors.js';
import { Local } from './local.js';
import { MssClamp } from './mss-clamp.js';
import { OFFLOAD_WAITING_LIMIT, Offload } from './offload.js';
import { OwnErrors } from './own-errors.js';
import type { Plan, ShardMessage, ShardNotice } from './plan.js';
import { ProbeEar } from './probe-ear.js';
import { RePointing } from './re-pointing.js';
import { countForwarded, recall } from './recall.js';
import { newPolicyWords } from './policy-words.js';
import { Relay } from './relay.js';
import { RequestPolicy } from './request-policy.js';
import { Review } from './review.js';
import { ServerWatch } from './server-watch.js';
import { Share, type ShareMemory } from './share.js';
import { SharedTunnels } from './shared-tunnels.js';
import { Tracker } from './tracker.js';
import { TunnelStore } from './tunnel-store.js';
import { TunnelVoice } from './tunnel-voice.js';

export interface ShardOptions {
  readonly shard: number;
  readonly memory: TableMemory;
  readonly port: PacketPort;
  readonly statistics: Float64Array;
  readonly handOver: HandOver;
  readonly captureRing: FrameRing;
  /** Where events go; absent: nobody is told. */
  readonly eventRing?: EventRing;
  /** Link-layer addresses of outside and inside. */
  readonly macs: readonly [Uint8Array, Uint8Array];
  readonly oneArm: boolean;
  /** MTUs of outside and inside; absent: both alike. */
  readonly mtus?: readonly [number, number];
  /** The host's drop filter must learn floating ports before they are used (`packet`). */
  readonly filterNeeded: boolean;
  /** There is an XDP program that may forward by entries with FLAG_OFFLOADED; absent is false. */
  readonly offload?: boolean;
  readonly descriptors?: ReadonlyMap<string, TunnelDescriptor>;
  /** The table is shared with other designators; absent: it is this one's alone. */
  readonly share?: ShareMemory;
  /** Rates that all shards share (POLICY_WORD); absent: this shard is alone. */
  readonly policy?: Int32Array;
}

export class Shard {
  readonly batch: Batch;
  readonly store: TunnelStore;
  readonly #o: ShardOptions;
  readonly #table: ConnectionTable;
  readonly #designator: Designator;
  readonly #hops: ClientHops;
  readonly #firewall: Firewall;
  readonly #policy: RequestPolicy;
  readonly #floating: FloatingPorts;
  readonly fullNat: FullNat;
  readonly #fragments: Fragments;
  readonly #errors: IcmpErrors;
  readonly #mss: MssClamp;
  readonly #own: OwnErrors;
  readonly #tracker: Tracker;
  readonly #ageing: Ageing;
  readonly #offload: Offload;
  readonly #review: Review;
  readonly #local: Local;
  readonly #relay: Relay;
  readonly #followers: Followers;
  readonly #watch: ServerWatch;
  readonly #farewell: Farewell;
  readonly #heirs: Heirs;
  readonly #rePointing: RePointing;
  readonly #ear = new ProbeEar();
  readonly #capture: CaptureTap;
  readonly #events: EventTap | null;
  readonly #shared: SharedTunnels | null;
  #directory: Directory | null = null;
  #lastSecond = -1;

  constructor(options: ShardOptions) {
    const { memory, port, statistics, shard } = options;
    if (shard >= SHARD_LIMIT) throw new RangeError(`shard ${shard}: at most ${SHARD_LIMIT}`);
    this.#o = options;
    this.batch = new Batch(port);
    this.#table = new ConnectionTable(memory);
    const lock = new SpinLock(memory);
    const servers = new ServerTable(memory);
    this.store = new TunnelStore(memory, shard, this.#table, new RecordPool(memory), lock, servers);
    this.#events = options.eventRing === undefined ? null : new EventTap(options.eventRing, this.store);
    this.store.events = this.#events;
    if (options.share !== undefined) this.store.share = new Share(options.share, memory.layout.recordCount);
    this.#designator = new Designator(memory, servers, lock, shard);
    this.#hops = new ClientHops(new NextHopTable(memory));
    this.#firewall = new Firewall(options.oneArm, statistics);
    const words = options.policy ?? newPolicyWords();
    this.#policy = new RequestPolicy(memory, this.#firewall, new Admission(memory, words), statistics, words);
    this.#floating = new FloatingPorts(options.filterNeeded);
    this.fullNat = new FullNat(this.store, statistics);
    const wheel = new TimerWheel(memory.records, RECORD_WORDS, RECORD.wheelNext, RECORD.wheelPrevious, port.clock[0]);
    this.#ageing = new Ageing(shard, this.store, wheel);
    const descriptors = options.descriptors ?? DESCRIPTORS;
    this.#offload = new Offload(this.store, options.offload ?? false, descriptors, statistics);
    this.#heirs = new Heirs(this.#table);
    this.#rePointing = new RePointing({
      store: this.store,
      ageing: this.#ageing,
      offload: this.#offload,
      floating: this.#floating,
      heirs: this.#heirs,
      statistics,
    });
    this.#review = new Review(this.store, this.#ageing, this.#hops, this.#policy, this.#offload);
    this.#followers = new Followers(this.store, statistics);
    const { share } = this.store;
    this.#shared =
      share && new SharedTunnels(share, this.store, this.#ageing, this.#review, this.#followers, statistics);
    this.#local = new Local(options.macs, this.#hops.table, statistics, port.kind === 'xdp');
    this.#watch = new ServerWatch(this.store, statistics);
    const queue = (to: number, frame: Uint8Array): void => this.#local.queue(to, frame);
    this.#farewell = new Farewell({
      store: this.store,
      voice: new TunnelVoice(this.store, this.#hops.table, options.macs, queue),
      ageing: this.#ageing,
      statistics,
      close: (record, reason) => this.#tracker.close(record, reason),
    });
    this.#mss = new MssClamp(this.store, statistics);
    this.#own = new OwnErrors(this.store, this.#hops.table, options.mtus ?? [1500, 1500], statistics);
    this.#errors = new IcmpErrors(this.store, this.#hops.table, options.macs, statistics, this.#watch, {
      handOver: options.handOver,
      followers: this.#followers,
    });
    this.#relay = new Relay(memory, statistics, options.oneArm);
    this.#fragments = new Fragments(shard, this.store, options.handOver, statistics, port.kind === 'xdp', this.#relay);
    this.#capture = new CaptureTap(options.captureRing, this.store, statistics);
    this.#watch.oneWay.refuses = (record) => this.#followers.refuses(record);
    this.#tracker = new Tracker({
      shard,
      store: this.store,
      wheel,
      designator: this.#designator,
      hops: this.#hops,
      policy: this.#policy,
      handOver: options.handOver,
      floating: this.#floating,
      fullNat: this.fullNat,
      offload: this.#offload,
      watch: this.#watch,
      lending: new Lending(memory, servers),
      farewell: this.#farewell,
      ear: this.#ear,
      heirs: this.#heirs,
      relay: this.#relay,
      followers: this.#followers,
      statistics,
    });
  }

  /**
   * One turn: send the last batch, receive the next, decide. Waits at most `waitMs` for traffic. Returns the number of
   * frames received, or −1 when the source has ended (memory, pcap).
   */
  turn(waitMs: number): number {
    const { batch } = this;
    const { port, handOver } = this.#o;
    const received = port.turn(batch.received, batch.scratch, waitMs);
    batch.received = Math.max(0, received);
    batch.scratch = 0;
    this.#tick(port.clock[0]);
    handOver.drain(batch);
    this.store.share?.drain(batch);
    this.#floating.release(batch);
    this.#tracker.nat.release(batch);
    if (this.#directory !== null) {
      const given = batch.scratch;
      this.#decide(0, batch.received, this.#directory);
      this.#decide(BATCH_CAPACITY, BATCH_CAPACITY + given, this.#directory);
      this.#local.transmit(batch);
      if (!this.#review.withdrawing) this.#offload.settle(batch);
    } else batch.columns.verdict.fill(-1, 0, batch.received);
    this.#capture.run(batch);
    return received;
  }

  /** Document 003's flow chart over columns [from, to). */
  #decide(from: number, to: number, directory: Directory): void {
    const { batch } = this;
    const { statistics } = this.#o;
    const { kind } = batch;
    classify(batch, from, to, directory, statistics); // 308 tunnel traffic? 310 of which kind? 312 whose?
    const learns = directory.plan.part === 'nat';
    recall(batch, from, to, this.#table, statistics, this.#heirs, this.#relay, learns); // the decisions cached in the connection table
    const expectant = this.#watch.expectant;
    for (let i = from; i < to; i++) {
      let what = kind[i];
      if (what === KIND_FRAGMENT) what = this.#fragments.fragment(batch, i, directory);
      if (what === KIND_ICMP_ERROR) this.#errors.translate(batch, i, directory, this.#firewall);
      else if (what >= KIND_CONTROL_IN)
        this.#tracker.control(batch, i); // 306, 314, 316: firewall, designate, map
      else if (expectant && (what === KIND_HOST || what === KIND_LOCAL)) this.#watch.look(batch, i, directory);
      if (what === KIND_HOST)
        this.#local.host(batch, i, this.#firewall, directory); // 306, then untouched
      else if (what === KIND_LOCAL) this.#local.answer(batch, i, this.#firewall, directory);
    }
    this.#own.run(batch, from, to, directory);
    this.#mss.run(batch, from, to, directory);
    countForwarded(batch, from, to, this.#table, statistics); // 318: the addon maps addresses as it sends
  }

  #tick(seconds: number): void {
    this.#tracker.setTime(seconds);
    this.#designator.setTime(seconds);
    this.#events?.setTime(seconds);
    this.#local.setTime(seconds);
    this.#relay.setTime(seconds);
    this.#followers.setTime(seconds);
    this.#offload.setTime(seconds);
    this.#watch.setTime(seconds);
    if (this.#directory !== null) this.#farewell.step(seconds, this.#directory);
    this.#fragments.setTime(seconds, this.batch);
    this.#errors.setTime(seconds);
    this.#own.setTime(seconds);
    const second = Math.floor(seconds);
    if (second !== this.#lastSecond) {
      this.#lastSecond = second;
      if (this.#directory !== null) this.#ageing.advance(second, Math.floor(seconds * 1000) | 0);
    }
    this.store.share?.setTime(seconds);
    if (this.#directory !== null) this.#shared?.step(this.#directory, second);
    this.#rePointing.settle(seconds);
    if (this.#rePointing.running && this.#directory !== null) {
      const moved = this.#rePointing.step(this.#directory, seconds);
      if (moved && this.#offload.enabled) this.#review.restart();
    }
    if (this.#offload.missed && !this.#review.running && this.#offload.waiting < OFFLOAD_WAITING_LIMIT / 2) {
      this.#offload.missed = false;
      this.#review.restart();
    }
    if (this.#review.running && this.#directory !== null) this.#review.step(this.#directory, second);
  }

  /** What the main thread says, between two turns. */
  message(message: ShardMessage): void {
    switch (message.type) {
      case 'plan':
        return this.#setPlan(message.plan);
      case 'routes':
        this.#hops.setRoutes(message.routes);
        return this.#review.restart();
      case 'floating':
        return this.#floating.registered(message.ports);
      case 'floating-forget':
        return this.#floating.forget(message.ports);
      case 'capture':
        this.#capture.captures = message.captures;
        this.#offload.captures = message.captures;
        if (this.#offload.enabled) this.#review.restart();
        return;
      case 'transmit':
        for (const { port, frame } of message.frames) this.#local.queue(port, frame);
        return;
      case 'release':
        return this.#farewell.release(message.server);
      case 'server-down':
        this.#watch.setDown(message.server, true);
        return this.#farewell.serverDown(message.server, message.wait ? this.#o.port.clock[0] + message.wait : 0);
      case 'probe-place':
        return this.#ear.setPlace(message.place);
      case 'server-back':
        this.#watch.setDown(message.server, false);
        return this.#farewell.serverBack(message.server);
      case 're-point':
        return this.#rePointing.order(message.order);
      case 'heirs':
        for (const [server, heir] of message.pairs) this.#heirs.add(server, heir);
        return;
      case 'shared':
        return this.#shared?.restart();
      case 'give-way':
        return this.#shared?.giveWay(message.record, message.version, Math.floor(this.#o.port.clock[0] * 1000) | 0);
      case 'member-frames':
        if (this.store.share?.receive(message.frames) !== true)
          this.#o.statistics[COUNTER.fromMembersLost] += message.frames.length;
        return;
      case 'review':
        if (this.#offload.enabled) this.#review.restart();
        return;
      case 'crash':
        throw new Error('crash asked for');
    }
  }

  #setPlan(plan: Plan): void {
    const first = this.#directory === null;
    this.#directory = new Directory(this.#o.memory, plan, this.#o.descriptors ?? DESCRIPTORS);
    this.#designator.setPlan(plan);
    this.#policy.setPlan(plan);
    this.#mss.setPlan(plan);
    this.#ageing.setPlan(plan);
    this.#watch.setPassive(plan.health.passive);
    this.#watch.oneWay.setVips(plan.vips);
    this.#farewell.setSettings(plan.health.farewell);
    this.#tracker.setDirectory(this.#directory);
    if (!first) this.#review.restart(true);
  }

  /** Takes over what this shard owns already (after `plan`). Returns the number of tunnels. */
  adopt(): number {
    const seconds = this.#o.port.clock[0];
    const adopted = this.#ageing.adopt(Math.floor(seconds), Math.floor(seconds * 1000) | 0);
    if (adopted > 0) {
      this.#policy.adopt(this.store, this.#ageing, seconds);
      for (let record = 0; record < this.store.memory.layout.recordCount; record++) {
        const vip = this.#directory?.vip(this.store.vipIndex(record)) ?? null;
        if (vip !== null && this.#ageing.owns(record)) this.#followers.adopt(record, vip);
      }
      this.#review.restart(true);
    }
    return adopted;
  }

  /** Something waits that cannot wait for the next packet. */
  get busy(): boolean {
    return (
      this.#review.running ||
      this.batch.scratch > 0 ||
      this.#local.queued ||
      this.#farewell.busy ||
      this.#rePointing.running ||
      this.#shared?.busy === true
    );
  }

  /** What the main thread should know; empties the lists. */
  takeNotices(): ShardNotice[] {
    const notices: ShardNotice[] = [];
    const payloads = this.#ear.takeHeard();
    if (payloads.length > 0) notices.push({ type: 'probe-answers', payloads });
    if (this.#floating.wanted.length > 0) {
      notices.push({ type: 'floating', ports: this.#floating.wanted });
      this.#floating.wanted = [];
    }
    const rePointed = this.#rePointing.takeDone();
    if (rePointed.length > 0) notices.push({ type: 're-pointed', done: rePointed });
    const { share } = this.store;
    if (share !== null && share.outbox.length > 0) {
      notices.push({ type: 'foreign', frames: share.outbox });
      share.outbox = [];
    }
    if (this.#hops.unresolved.length > 0) {
      notices.push({ type: 'unresolved', nextHops: this.#hops.unresolved });
      this.#hops.unresolved = [];
    }
    const followed = this.#followers.takeNotices();
    if (followed.length > 0) notices.push({ type: 'followed', clients: followed });
    if (this.#own.pending.length > 0) {
      notices.push({ type: 'icmp', packets: this.#own.pending });
      this.#own.pending = [];
    }
    return notices;
  }

  get handedOver(): number {
    return this.#o.statistics[COUNTER.handedOver];
  }
}
