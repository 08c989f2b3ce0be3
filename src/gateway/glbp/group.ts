/**
 * One group at one gateway in GLBP's own words, without I/O: the same face as `GatewayGroup`, other messages. The active
 * virtual gateway answers ARP and Neighbour Solicitation with the virtual MACs of the forwarders and gives them their
 * numbers. What GLBP has no message for is missing: other gateways do not know the hosts, nobody proves that he heard
 * somebody, nothing says when a message was made.
 */
import type { AddressWords } from '../../wire/address.js';
import { formatWords } from '../../wire/address.js';
import { GLBP_STATE, type GlbpHello } from '../../wire/glbp.js';
import { type Mac, readMac } from '../mac.js';
import type {
  CommandResult,
  ForwarderAction,
  ForwarderRow,
  GatewayEvent,
  GatewayEventKind,
  GatewayLoad,
  GroupOutput,
  GroupSettings,
  GroupStatus,
  HostFilter,
  HostRow,
  MemberRow,
  Tracking,
} from '../types.js';
import { GlbpDesk } from './desk.js';
import { GlbpElection } from './election.js';
import { GlbpForwarders, type VirtualForwarder } from './forwarders.js';
import { GlbpMessages, type GlbpHeard } from './messages.js';
import { type GlbpOptions, learntTimers } from './options.js';
import { GlbpPeers, type GlbpPeer } from './peers.js';
import { forwarderRows, memberState, numberOf, peerRows } from './rows.js';

const NOBODY: Tracking = { priorityLoss: 0, weightLoss: 0, able: true, reasons: [] };
const UNSPECIFIED: AddressWords = [0, 0, 0, 0];
/** A weight is a byte on the wire. */
const WEIGHT_MAX = 255;
const NO_MOVES = 'GLBP moves no hosts: they ask again when their entry has aged';

export class GlbpGroup {
  readonly #o: GlbpOptions;
  readonly #messages: GlbpMessages;
  readonly #peers = new GlbpPeers();
  readonly #settings: { address: AddressWords; priority: number; preempt: { delay: number } | null; hold: number };
  readonly #forwarding: {
    group: number;
    address: AddressWords;
    redirect: number;
    timeout: number;
    preemptDelay: number;
    hold: number;
    hello: number;
  };
  readonly #forwarders: GlbpForwarders;
  readonly #desk: GlbpDesk;
  readonly #counters: Record<string, number> = {};
  #output: GroupOutput = { frames: [], actions: [], events: [] };
  #election: GlbpElection;
  #weight: number;
  #priority: number;
  #tracking = NOBODY;
  #load: GatewayLoad = { share: 0, bitsPerSecond: 0, packetsPerSecond: 0 };
  #link = true;
  #stopped = false;
  #since: number;
  #lastTurn: number;
  #nextHello: number;
  #nextRequest = 0;
  /** Announced as event. */
  #told: string = '';

  /** `now`: when it begins to listen. Errors: RangeError for a secret that GLBP has no room for. */
  constructor(options: GlbpOptions, now: number) {
    const { group, mac, glbp } = options;
    const address = options.ownAddress ?? UNSPECIFIED;
    this.#o = options;
    this.#messages = new GlbpMessages(group, mac, address, glbp.secret);
    this.#priority = options.priority;
    this.#weight = options.weight;
    this.#settings = { address, priority: options.priority, preempt: options.preempt, hold: glbp.hold };
    this.#forwarding = {
      group,
      address,
      redirect: options.redirect,
      timeout: options.timeout,
      preemptDelay: glbp.forwarderDelay,
      hold: glbp.hold,
      hello: glbp.hello,
    };
    this.#forwarders = new GlbpForwarders(this.#forwarding);
    this.#desk = new GlbpDesk(options);
    this.#election = new GlbpElection(this.#settings, now);
    this.#since = now;
    this.#lastTurn = now;
    this.#nextHello = now;
    // A message that cannot be built must be found now, not when it is to be sent.
    this.#messages.multicast(mac, this.#hello(), []);
  }

  /** A frame of the segment, whole from its Ethernet header, tag removed; valid during the call. */
  receive(frame: Uint8Array, now: number, arrived: number = now): void {
    if (!this.#awake(now, arrived)) return;
    const heard = this.#messages.read(frame);
    if (heard === null) return this.#ask(frame, now);
    if (typeof heard === 'string') {
      this.#count(heard);
      return;
    }
    this.#hear(heard, now);
    this.#settle(now);
  }

  tick(now: number): void {
    if (!this.#awake(now, now)) return;
    this.#settle(now);
    this.#desk.tick(now);
    this.#take();
  }

  /** When `tick` is due. */
  get nextTime(): number {
    if (this.#stopped || !this.#link) return Number.POSITIVE_INFINITY;
    return Math.min(
      this.#nextHello,
      this.#mayRequest ? this.#nextRequest : Number.POSITIVE_INFINITY,
      this.#election.nextTime,
      this.#forwarders.nextTime(this.#able, this.#rank),
      this.#desk.nextTime,
    );
  }

  /** False: it does not run, or what comes in is from before it was stopped for so long that others have taken over. */
  #awake(now: number, arrived: number): boolean {
    if (this.#stopped || !this.#link) return false;
    const { hold } = this.#forwarding;
    if (now - this.#lastTurn > hold) {
      this.#count('frozen');
      this.#event('frozen', 0, `nothing was done for ${(now - this.#lastTurn).toFixed(1)} s: listening again`, now);
      this.#forwarders.release(now);
      this.#election.resign(now);
      this.#settle(now);
    }
    this.#lastTurn = now;
    return now - arrived <= hold;
  }

  // ── messages ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #hear({ datagram, message }: GlbpHeard, now: number): void {
    const peer = this.#peers.heard(datagram.source, message.owner, datagram.from, this.#forwarding.hold, now);
    if (peer === null) return this.#count('glbpTooManyGateways');
    const { hello } = message;
    this.#count('glbpReceived');
    if (hello !== null) this.#hearHello(peer, hello, now);
    let speak = false;
    for (const told of message.forwarders) {
      if (told.number === 0) this.#assign(peer, now);
      // A number without a state, from the active gateway and to us alone, is the answer to our request.
      else if (told.state === GLBP_STATE.none && hello === null) {
        if (peer === this.#election.active) this.#forwarders.assigned(told, now);
        else this.#count('glbpUnasked');
      } else if (this.#forwarders.heard(peer, told, this.#effectiveWeight, now)) speak = true;
    }
    if (speak) this.#nextHello = now;
  }

  #hearHello(peer: GlbpPeer, hello: GlbpHello, now: number): void {
    const { addresses, glbp } = this.#o;
    const known = hello.address !== null && addresses.some((words) => sameWords(words, hello.address as AddressWords));
    if (!known) {
      // Somebody's group of the same number: its election is not ours.
      this.#count('glbpOtherAddress');
      this.#event(
        'foreign-group',
        0,
        `${formatWords(peer.address)} has group ${this.#o.group} for another address`,
        now,
      );
      return;
    }
    if (this.#election.heard(peer, hello, now) === 'speak') this.#nextHello = now;
    if (hello.state !== GLBP_STATE.active || peer !== this.#election.active) return;
    this.#desk.answeredUntil(now);
    const timers = glbp.learnTimers ? learntTimers(hello.helloMs, hello.holdMs) : null;
    if (timers === null) return;
    this.#settings.hold = timers.hold;
    this.#forwarding.hold = timers.hold;
    this.#forwarding.hello = timers.hello;
    this.#nextHello = Math.min(this.#nextHello, now + timers.hello);
  }

  /** The active gateway's part: a gateway asks for a number. */
  #assign(peer: GlbpPeer, now: number): void {
    if (this.#election.state !== GLBP_STATE.active) return this.#count('glbpRequestsNotMine');
    const number = this.#forwarders.assign(peer, now);
    if (number === 0) return this.#count('glbpForwardersExhausted');
    const told = this.#forwarders.values().find((forwarder) => forwarder.number === number) as VirtualForwarder;
    const item = { number, state: GLBP_STATE.none, priority: 0, weight: 0, mac: told.mac };
    this.#output.frames.push(this.#messages.unicast(peer.from, peer.address, [item]));
  }

  /** It has no forwarder of its own, and knows who gives them. */
  get #mayRequest(): boolean {
    return this.#forwarders.own === null && this.#election.active !== null && this.#able;
  }

  #request(now: number): void {
    const { active } = this.#election;
    if (!this.#mayRequest || active === null || now < this.#nextRequest) return;
    this.#nextRequest = now + this.#forwarding.hello;
    const item = {
      number: 0,
      state: GLBP_STATE.none,
      priority: 0,
      weight: this.#effectiveWeight,
      mac: new Uint8Array(6),
    };
    this.#output.frames.push(this.#messages.unicast(active.from, active.address, [item]));
  }

  #hello(): GlbpHello {
    const { redirect, timeout, addresses } = this.#o;
    return {
      state: this.#election?.state ?? GLBP_STATE.listen,
      priority: this.#settings.priority,
      helloMs: Math.round(this.#forwarding.hello * 1000),
      holdMs: Math.round(this.#forwarding.hold * 1000),
      redirect: Math.min(0xffff, Math.round(redirect)),
      timeout: Math.min(0xffff, Math.round(timeout)),
      address: addresses[0],
    };
  }

  /** Everything from the own virtual MAC, and a short one from each other that is served: so switches stay taught. */
  #sayHello(now: number): void {
    this.#nextHello = now + this.#forwarding.hello;
    const told = this.#forwarders.told(this.#effectiveWeight);
    const served = told.filter(({ state }) => state === GLBP_STATE.active);
    const own = served.find(({ number }) => number === this.#forwarders.own?.number);
    const frames = this.#output.frames;
    frames.push(this.#messages.multicast(own?.mac ?? this.#o.mac, this.#hello(), told));
    for (const item of served) if (item !== own) frames.push(this.#messages.multicast(item.mac, null, [item]));
    this.#count('glbpSent');
  }

  // ── state ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  get #able(): boolean {
    return this.#tracking.able && this.#effectiveWeight > 0;
  }

  get #effectiveWeight(): number {
    return Math.max(0, Math.min(WEIGHT_MAX, this.#weight - this.#tracking.weightLoss));
  }

  get #rank(): number {
    const { state } = this.#election;
    if (state === GLBP_STATE.active) return 0;
    // No two of the others begin at once.
    return state === GLBP_STATE.standby ? 1 : 2 + (this.#forwarders.own?.number ?? 0) / 2;
  }

  /** Brings election, forwarders and what others are told in line. */
  #settle(now: number): void {
    this.#election.tick(now);
    if (this.#election.state === GLBP_STATE.active && this.#forwarders.own === null) this.#forwarders.assign(null, now);
    this.#forwarders.tick(this.#able, this.#rank, now);
    const { state, active } = this.#election;
    const told = `${state} ${active?.key ?? ''}`;
    if (told !== this.#told) {
      this.#told = told;
      this.#since = now;
      this.#nextHello = now;
      const whose =
        state === GLBP_STATE.active ? 'this gateway' : active === null ? 'nobody' : formatWords(active.address);
      this.#event('state', 0, `${stateName(state)}; ${whose} is the active virtual gateway`, now);
    }
    this.#forwarderChanges(now);
    this.#tellDesk(now);
    if (now >= this.#nextHello) this.#sayHello(now);
    this.#request(now);
    this.#take();
  }

  #forwarderChanges(now: number): void {
    for (const { number, mac, change } of this.#forwarders.changes()) {
      if (change === 'took' || change === 'gave-up') {
        const kind: ForwarderAction['kind'] = change === 'took' ? 'hold' : 'let-go';
        this.#output.actions.push({ kind, number, mac, serve: change === 'took' });
        this.#nextHello = now;
      }
      this.#event('forwarder', number, `forwarder ${number}: ${WORDS[change]}`, now);
    }
  }

  /** The desk answers while this gateway is active, with the forwarders that somebody serves. */
  #tellDesk(now: number): void {
    const active = this.#election.state === GLBP_STATE.active;
    this.#desk.setOffice(active, now);
    if (!active) return;
    this.#desk.setForwarders(
      this.#forwarders.values().map((forwarder) => ({
        number: forwarder.number,
        mac: forwarder.mac,
        givenOut: this.#forwarders.givenOut(forwarder, now),
        server: forwarder.serves || forwarder.active !== null ? forwarder.number : 0,
        serves: forwarder.serves,
        weight: forwarder.serves ? this.#effectiveWeight : forwarder.weight,
      })),
      now,
    );
  }

  #ask(frame: Uint8Array, now: number): void {
    this.#settle(now);
    this.#desk.receive(frame, now);
    this.#take();
  }

  #take(): void {
    const { frames, events } = this.#desk.output();
    this.#output.frames.push(...frames);
    this.#output.events.push(...events);
  }

  #count(name: string): void {
    this.#counters[name] = (this.#counters[name] ?? 0) + 1;
  }

  #event(kind: GatewayEventKind, number: number, text: string, at: number): void {
    this.#output.events.push({ kind, at, number, mac: null, text } satisfies GatewayEvent);
  }

  // ── what the caller says ──────────────────────────────────────────────────────────────────────────────────────────

  setLoad(load: GatewayLoad, _now: number): void {
    this.#load = load;
  }

  setTracking(tracking: Tracking, now: number): void {
    const changed = tracking.able !== this.#tracking.able;
    this.#tracking = tracking;
    this.#settings.priority = Math.max(1, this.#priority - tracking.priorityLoss);
    if (this.#stopped || !this.#link) return;
    if (changed) this.#nextHello = now;
    // Who cannot forward does not keep the office either: what it would answer for itself leads nowhere.
    if (changed && !tracking.able && this.#election.state === GLBP_STATE.active) this.#election.resign(now);
    this.#settle(now);
  }

  setLink(up: boolean, now: number): void {
    if (up === this.#link) return;
    if (!up) {
      this.#forwarders.release(now);
      this.#election.resign(now);
      this.#settle(now);
      this.#output.frames.length = 0;
    }
    this.#link = up;
    this.#lastTurn = now;
    if (up) this.#election = new GlbpElection(this.#settings, now);
  }

  /** Changes what may change while the group runs. */
  configure(settings: Partial<GroupSettings>, now: number): void {
    this.#priority = settings.priority ?? this.#priority;
    this.#weight = settings.weight ?? this.#weight;
    if (settings.preempt !== undefined) this.#settings.preempt = settings.preempt;
    this.#forwarding.redirect = settings.redirect ?? this.#forwarding.redirect;
    this.#forwarding.timeout = settings.timeout ?? this.#forwarding.timeout;
    this.#desk.configure(settings, now);
    this.setTracking(this.#tracking, now);
  }

  /** Gives up the office; goes on as a forwarder and may be elected again after a while. */
  resign(now: number): CommandResult {
    if (this.#stopped || !this.#link) return { ok: false, why: 'not running' };
    if (this.#election.state !== GLBP_STATE.active) return { ok: false, why: 'this gateway is not the active one' };
    this.#election.resign(now);
    this.#settle(now);
    return { ok: true, hosts: 0 };
  }

  /** Says good-bye: office and virtual MACs go to others at once. Nothing is sent after the frames of this turn. */
  stop(now: number): void {
    if (this.#stopped) return;
    if (this.#link) {
      this.#forwarders.release(now);
      this.#election.resign(now);
      this.#tracking = { ...this.#tracking, able: false };
      this.#nextHello = now;
      this.#settle(now);
    }
    this.#stopped = true;
  }

  move(_host: Mac | null, _to: number, _now: number): CommandResult {
    return { ok: false, why: NO_MOVES };
  }

  declareDead(_number: number, _now: number): CommandResult {
    return { ok: false, why: NO_MOVES };
  }

  /** What has come up since the last call; the arrays are the caller's. */
  output(): GroupOutput {
    const output = this.#output;
    this.#output = { frames: [], actions: [], events: [] };
    return output;
  }

  // ── tables ────────────────────────────────────────────────────────────────────────────────────────────────────────

  status(_now: number): GroupStatus {
    const { name, group, addresses } = this.#o;
    const state = this.#stopped ? 'stopped' : memberState(this.#election.state);
    const number = this.#forwarders.own?.number ?? 0;
    const master = state === 'master' ? number : numberOf(this.#forwarders, this.#election.active);
    const hosts = this.#desk.size;
    return { name, group, number, addresses, state, master, term: 0, version: 0, hosts, since: this.#since };
  }

  members(now: number): MemberRow[] {
    const { mac, ownAddress } = this.#o;
    const state = this.#stopped ? 'stopped' : memberState(this.#election.state);
    const own: MemberRow = {
      number: this.#forwarders.own?.number ?? 0,
      self: true,
      alive: !this.#stopped,
      verified: true,
      state,
      master: state === 'master',
      priority: this.#settings.priority,
      weight: this.#effectiveWeight,
      able: this.#able,
      reasons: this.#tracking.reasons,
      load: this.#load.share,
      bitsPerSecond: this.#load.bitsPerSecond,
      packetsPerSecond: this.#load.packetsPerSecond,
      address: ownAddress,
      mac: readMac(mac),
      age: 0,
      term: 0,
      version: 0,
    };
    const { hold } = this.#forwarding;
    return [own, ...peerRows(this.#peers, this.#forwarders, this.#election.active, hold, now)];
  }

  forwarders(now: number): ForwarderRow[] {
    return forwarderRows(this.#forwarders, this.#desk, this.#effectiveWeight, this.#load, now);
  }

  hosts(now: number, filter: HostFilter = {}): HostRow[] {
    return this.#desk.hosts(now, filter);
  }

  counters(): Record<string, number> {
    const { foreignMac, duplicateOwner } = this.#forwarders.counters;
    return {
      ...this.#counters,
      glbpForeignMac: foreignMac,
      glbpDuplicateOwner: duplicateOwner,
      ...this.#desk.counters(),
    };
  }
}

const WORDS = {
  took: 'this gateway serves it',
  'gave-up': 'another gateway may serve it',
  assigned: 'it is this gateway’s own',
  forgotten: 'its owner has been gone for too long; nobody serves it any more',
} as const;

function sameWords(a: AddressWords, b: AddressWords): boolean {
  return a[0] === b[0] && a[1] === b[1] && a[2] === b[2] && a[3] === b[3];
}

function stateName(state: number): string {
  for (const [name, value] of Object.entries(GLBP_STATE)) if (value === state) return name;
  return String(state);
}
