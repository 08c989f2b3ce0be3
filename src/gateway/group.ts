/**
 * One group at one gateway, without I/O: frames of the segment, time and load go in; frames, virtual-MAC actions and
 * events come out (document 004). Nothing that comes in makes it throw.
 *
 * A turn is one call, or several with the same time, and then `output`.
 */
import { type Advert, readAdvertBody } from '../wire/gateway-advert.js';
import { GATEWAY_ETHERTYPE } from '../wire/gateway-message.js';
import { type GatewayOrder, readOrder } from '../wire/gateway-orders.js';
import { TEACH } from './answers/answers.js';
import { Election, type ElectionStep } from './election.js';
import type { ForwarderChange } from './forwarders.js';
import { type Described, describeForwarder, describeHosts, describeMember, describeStep } from './group-events.js';
import { type GroupParts, makeParts, MOMENT } from './group-parts.js';
import { forwarderRows, memberRows, partCounters } from './group-rows.js';
import { type Mac, readMac, virtualMac } from './mac.js';
import type { Peer } from './peer.js';
import type { Opened } from './seal.js';
import type {
  CommandResult,
  ForwarderRow,
  GatewayLoad,
  GroupOptions,
  GroupOutput,
  GroupSettings,
  GroupStatus,
  HostFilter,
  HostRow,
  MemberRow,
  Tracking,
} from './types.js';

const ETHERNET_HEADER = 14;
/** Of an interval: a newcomer is answered that soon at the earliest, so that recordings cannot make us flood. */
const HURRY = 1 / 5;
/** Of an interval: who asks whether we are there just after an advert has that already. */
const PAUSE = 1 / 16;
/** Of the detection time: whoever was silent for that long has been given up by the others, or soon will be. */
const STANDSTILL = 0.95;
/** Steps of the election in one turn. */
const STEPS_LIMIT = 8;
const NEVER = Number.POSITIVE_INFINITY;

export class GatewayGroup {
  readonly #parts: GroupParts;
  /** Made at the first turn, which tells what time it is. */
  #election: Election | null = null;
  #now = 0;
  #link = true;
  /** After a standstill nothing is served before somebody says so. */
  #suspended = false;
  #lastAdvert = 0;
  /** When the last turn said that it would be due. */
  #dueAt = NEVER;
  /** When the hosts are to be shown the loads again. */
  #viewsAt = NEVER;
  readonly #counters = {
    'messages.malformed': 0,
    'messages.version': 0,
    'messages.other-group': 0,
    'messages.forged': 0,
    'messages.flood': 0,
    'messages.foreignSettings': 0,
    'messages.notForUs': 0,
    'messages.refused': 0,
    standstills: 0,
  };

  constructor(options: GroupOptions) {
    this.#parts = makeParts(options, {
      now: () => this.#now,
      master: () => this.#isMaster,
      acting: () => this.#acting,
    });
  }

  /** A frame of the segment, whole from its Ethernet header, tag removed; valid during the call. `arrived`: when the host got it. */
  receive(frame: Uint8Array, now: number, arrived: number = now): void {
    const election = this.#begin(now);
    if (election.state === 'stopped' || !this.#link || frame.length <= ETHERNET_HEADER) return;
    const at = Math.min(arrived, now);
    if (((frame[12] << 8) | frame[13]) !== GATEWAY_ETHERTYPE) return this.#parts.desk.receive(frame, now, at);
    if (frame[ETHERNET_HEADER] === TEACH) return;
    const opened = this.#parts.seal.open(frame, now, (header) => this.#parts.members.expects(header));
    if (typeof opened !== 'string') return this.#message(opened, now, at);
    this.#counters[`messages.${opened}`]++;
    if (opened === 'forged')
      this.#parts.log.trouble(
        now,
        'foreign-group',
        0,
        'messages for this group come that have another key',
        readMac(frame, 6),
      );
  }

  tick(now: number): void {
    if (this.#begin(now).state === 'stopped' || !this.#link) return;
    for (const { number } of this.#parts.members.tick(now, Math.max(0, now - this.#dueAt)))
      this.#parts.courier.probe(number);
    this.#settle(now);
    this.#parts.hosts.tick(now);
    if (now >= this.#viewsAt) this.#showHosts(now);
    this.#parts.desk.tick(now);
    for (const { host, addresses, to } of this.#parts.hosts.moves(now)) this.#parts.voice.tell(host, addresses, to);
    this.#parts.holdings.letGo(now);
    for (const forwarder of this.#parts.holdings.due(now)) this.#parts.voice.teach(forwarder);
    if (now >= this.#advertAt) this.#say(1);
    this.#dueAt = this.nextTime;
  }

  /** When `tick` is due. */
  get nextTime(): number {
    const election = this.#election;
    if (election === null) return 0;
    if (election.state === 'stopped' || !this.#link) return NEVER;
    return Math.min(
      this.#advertAt,
      this.#parts.members.nextTime,
      election.nextTime,
      this.#parts.voice.nextTime,
      this.#parts.hosts.nextTime,
      this.#parts.desk.nextTime(this.#now),
      this.#viewsAt,
      this.#isMaster ? this.#parts.forwarders.nextTime(this.#now) : NEVER,
    );
  }

  setLoad(load: GatewayLoad, now: number): void {
    this.#begin(now);
    this.#parts.self.setLoad(load);
    this.#viewsAt = Math.min(this.#viewsAt, now + this.#parts.options.interval);
    for (const number of this.#parts.self.used)
      if (this.#parts.forwarders.get(number)?.givenOut === false) this.#straggling(number, now);
  }

  setTracking(tracking: Tracking, now: number): void {
    this.#begin(now);
    const { able } = this.#parts.self.tracking;
    this.#parts.self.tracking = tracking;
    if (able !== tracking.able) {
      const why = tracking.reasons.length > 0 ? `: ${tracking.reasons.join(', ')}` : '';
      const text = `this gateway ${tracking.able ? 'can' : 'cannot'} forward${why}`;
      this.#parts.log.add(now, tracking.able ? 'member-able' : 'member-unable', this.#parts.options.number, text);
    }
    this.#viewsAt = now;
    this.#say(1);
    this.#settle(now);
  }

  setLink(up: boolean, now: number): void {
    const election = this.#begin(now);
    if (up === this.#link || election.state === 'stopped') return;
    this.#link = up;
    this.#parts.log.add(now, 'state', this.#parts.options.number, up ? 'the link is up again' : 'the link is down');
    this.#restart(now);
  }

  /** Changes what may change while the group runs. */
  configure(settings: Partial<GroupSettings>, now: number): void {
    this.#begin(now);
    this.#parts.self.settings = { ...this.#parts.self.settings, ...settings };
    this.#parts.forwarders.configure({ ...this.#parts.self.settings, moment: MOMENT * this.#parts.detection });
    this.#parts.hosts.configure(settings, now);
    this.#parts.desk.configure(settings, now);
    this.#viewsAt = now;
    this.#say(1);
    this.#settle(now);
  }

  /** Gives up the office of master; goes on as a forwarder and may be elected again after a while. */
  resign(now: number): CommandResult {
    const election = this.#begin(now);
    const wasMaster = this.#isMaster;
    if (election.state === 'stopped' || !election.resign(this.#parts.members, now))
      return { ok: false, why: 'no other gateway is there to be master' };
    this.#parts.log.add(now, 'member-resigned', this.#parts.options.number, 'this gateway has resigned');
    if (wasMaster) this.#parts.desk.close();
    // Twice: when both are lost the others wait until they would take us for dead.
    this.#say(2);
    this.#settle(now);
    return { ok: true, hosts: 0 };
  }

  /** Says good-bye: office and virtual MACs go to others at once. Nothing is sent after the frames of this turn. */
  stop(now: number): void {
    const election = this.#begin(now);
    if (election.state === 'stopped') return;
    const wasMaster = this.#isMaster;
    election.stop(this.#parts.members, now);
    if (wasMaster && election.master === 0) this.#parts.desk.farewell();
    this.#parts.desk.close();
    this.#parts.holdings.letGo(now, true);
    this.#say(2);
    this.#parts.log.add(now, 'state', this.#parts.options.number, 'this gateway leaves the group');
  }

  /** Gives a host (null: every host of the group) to the forwarder of a gateway. */
  move(host: Mac | null, to: number, now: number): CommandResult {
    this.#begin(now);
    if (this.#parts.forwarders.serverOf(to) === 0) return { ok: false, why: `nobody serves forwarder ${to}` };
    if (this.#isMaster) return this.#parts.hosts.move(host, to, now);
    return this.#order({ kind: 'move', number: to, host }, host === null ? this.#parts.hosts.size : 1);
  }

  /** Takes a dead gateway for permanently failed: its hosts are redistributed now. */
  declareDead(number: number, now: number): CommandResult {
    this.#begin(now);
    const hosts = this.#parts.hosts.countOf(number);
    if (this.#parts.forwarders.get(number) === undefined) return { ok: false, why: `gateway ${number} is not known` };
    if (this.#parts.roster.present(now).has(number))
      return { ok: false, why: `gateway ${number} is alive and can forward` };
    if (!this.#isMaster) return this.#order({ kind: 'declare-dead', number, host: null }, hosts);
    const change = this.#parts.forwarders.declareDead(number, now, this.#parts.roster.surroundings(now));
    if (change === null) return { ok: false, why: `the hosts of gateway ${number} are with others already` };
    this.#changed([change], now);
    return { ok: true, hosts };
  }

  /** What has come up since the last call; the arrays are the caller's. */
  output(): GroupOutput {
    const now = this.#now;
    for (const event of this.#parts.hosts.events()) this.#describe(describeHosts(event));
    const frames: Uint8Array[] = [];
    const election = this.#election;
    if (election === null || !this.#link) this.#parts.courier.drop();
    else {
      if (this.#parts.courier.adverts > 0) this.#lastAdvert = now;
      const { scheme, group, number, mac } = this.#parts.options;
      const source = this.#parts.holdings.serves(number) ? virtualMac(scheme, group, number) : readMac(mac);
      frames.push(
        ...this.#parts.courier.take(now, source, this.#parts.hosts.messages(now), () =>
          this.#parts.voice.advert(now, election),
        ),
      );
    }
    return { frames, actions: this.#parts.holdings.actions(), events: this.#parts.log.take() };
  }

  status(now: number): GroupStatus {
    const { name, group, number, addresses } = this.#parts.options;
    const { term, version } = this.#parts.hosts.position();
    const { state, master, since } = this.#election ?? ({ state: 'listen', master: 0, since: now } as const);
    return { name, group, number, addresses, state, master, term, version, hosts: this.#parts.hosts.size, since };
  }

  members(now: number): MemberRow[] {
    return this.#election === null ? [] : memberRows(this.#parts, this.#election, now);
  }

  forwarders(now: number): ForwarderRow[] {
    return forwarderRows(this.#parts, now);
  }

  hosts(now: number, filter: HostFilter = {}): HostRow[] {
    return this.#parts.hosts.rows(now, filter);
  }

  counters(): Record<string, number> {
    return { ...this.#counters, ...partCounters(this.#parts) };
  }

  get #isMaster(): boolean {
    return this.#election?.state === 'master';
  }

  /** The other member that is master and alive, if only as others tell: it may hear us though we do not hear it. */
  get #acting(): Peer | null {
    const election = this.#election;
    if (election === null || election.state === 'master' || election.master === 0) return null;
    const peer = this.#parts.members.get(election.master);
    if (peer?.advert?.state !== 'master') return null;
    return peer.alive || this.#parts.members.rumoured(peer, this.#now) ? peer : null;
  }

  get #advertAt(): number {
    return this.#lastAdvert + this.#parts.options.interval * (this.#parts.members.wanted ? HURRY : 1);
  }

  /** Every turn begins here. Time that goes back is taken for standing still. */
  #begin(time: number): Election {
    const now = this.#election === null ? time : Math.max(this.#now, time);
    this.#now = now;
    if (this.#election === null) {
      const { number, interval, losses, mac } = this.#parts.options;
      this.#election = new Election({ number, interval, losses, mac: readMac(mac) }, now);
      this.#lastAdvert = now;
      this.#say(1);
    } else if (
      this.#link &&
      this.#election.state !== 'stopped' &&
      now - this.#lastAdvert >= STANDSTILL * this.#parts.detection
    ) {
      // The process was stopped, or starved: others have taken over, and whatever waits here is old.
      const seconds = now - this.#lastAdvert;
      this.#parts.hosts.stoodStill(seconds);
      this.#parts.forwarders.stoodStill(seconds);
      this.#counters.standstills++;
      this.#parts.log.add(
        now,
        'frozen',
        this.#parts.options.number,
        `this gateway stood still for ${seconds.toFixed(3)} s`,
      );
      this.#restart(now);
    }
    return this.#election;
  }

  /** As after a start, but for the virtual MACs: the kernel keeps forwarding what still comes for them. */
  #restart(now: number): void {
    const election = this.#election as Election;
    if (election.state === 'master') this.#parts.desk.close();
    election.restart(now);
    this.#parts.members.forget(now);
    this.#parts.courier.drop();
    this.#suspended = true;
    this.#parts.holdings.suspend(now);
    this.#parts.hosts.follow(0, now);
    this.#lastAdvert = now;
    this.#say(1);
  }

  #say(adverts: number): void {
    this.#parts.courier.adverts = Math.max(this.#parts.courier.adverts, adverts);
  }

  /** Packets still come for a forwarder that its hosts were told to leave. */
  #straggling(number: number, now: number): void {
    if (this.#isMaster) this.#parts.hosts.straggling(number, now);
    else this.#order({ kind: 'straggling', number, host: null }, 0);
  }

  #order(order: GatewayOrder, hosts: number): CommandResult {
    const master = this.#acting;
    if (master === null) return { ok: false, why: 'no master is known' };
    this.#parts.courier.order(order, master.number);
    return { ok: true, hosts };
  }

  /** A message with a right seal. */
  #message({ header, body, source }: Opened, now: number, at: number): void {
    if (header.target !== 0 && header.target !== this.#parts.options.number) {
      // Where a switch does not know a port yet, it brings everybody what is for one.
      this.#counters['messages.notForUs']++;
      return;
    }
    const advert = header.type === 'advert' ? readAdvertBody(body) : null;
    if (header.type === 'advert' && advert === null) {
      this.#counters['messages.malformed']++;
      return;
    }
    if (advert !== null && advert.settings !== this.#parts.voice.digest) {
      this.#counters['messages.foreignSettings']++;
      const text = `gateway ${header.sender} has other addresses or virtual MACs for this group`;
      this.#parts.log.trouble(now, 'foreign-group', header.sender, text, source);
      return;
    }
    const peer = this.#parts.members.receive(header, advert, at);
    if (peer === null) return;
    if (header.sender === this.#parts.options.number) {
      this.#parts.log.trouble(
        now,
        'duplicate-number',
        header.sender,
        `another gateway has number ${header.sender}`,
        source,
      );
      return this.#settle(now);
    }
    if (peer === this.#acting) this.#parts.desk.answeredUntil(at);
    if (advert === null) this.#small(header.type, peer, body, now);
    else this.#heard(peer, advert, now);
  }

  #heard(peer: Peer, advert: Advert, now: number): void {
    this.#settle(now);
    this.#parts.hosts.heard(peer.number, advert.position, now);
    if (advert.recent.length > 0) this.#parts.hosts.receive(peer.number, advert.recent, now);
    if (this.#isMaster) this.#viewsAt = Math.min(this.#viewsAt, now + this.#parts.options.interval);
    const told = advert.state === 'master' && (this.#acting === peer || this.#election?.state === 'listen');
    if (told) this.#obey(advert, now);
  }

  /** What the master says of the forwarders. */
  #obey(advert: Advert, now: number): void {
    const changed = this.#parts.forwarders.adopt(advert.forwarders, now);
    this.#suspended = false;
    this.#hold(now);
    if (changed) this.#showHosts(now);
  }

  /** A message that is no advert, from a member that is proven to be one. */
  #small(type: Opened['header']['type'], peer: Peer, body: Uint8Array, now: number): void {
    if (type === 'probe') {
      // One answer is heard by all that ask.
      if (now - this.#lastAdvert >= this.#parts.options.interval * PAUSE) this.#say(1);
      return;
    }
    if (type === 'hosts') return this.#parts.hosts.receive(peer.number, body.slice(), now);
    if (type === 'hand' && this.#isMaster) return this.#parts.desk.handed(body.slice(), now);
    if (type === 'order' && this.#isMaster) {
      const order = readOrder(body);
      if (order?.kind === 'move') this.move(order.host, order.number, now);
      else if (order?.kind === 'declare-dead') this.declareDead(order.number, now);
      else if (order?.kind === 'straggling') this.#straggling(order.number, now);
      else this.#counters['messages.malformed']++;
      return;
    }
    if (!this.#parts.voice.relay(type, body, peer === this.#acting)) this.#counters['messages.refused']++;
  }

  /** Lets everything follow that comes from what was heard, or from what time it is. */
  #settle(now: number): void {
    const election = this.#election as Election;
    let took = false;
    for (const change of this.#parts.members.changes()) {
      this.#describe(describeMember(change));
      // It may have served all of them where we were not heard.
      if (change.kind !== 'up') continue;
      this.#parts.holdings.refresh(now);
      this.#parts.desk.heardAgain(now);
    }
    for (let steps = 0; steps < STEPS_LIMIT; steps++) {
      const standing = this.#parts.self.standing(election.state === 'resigned');
      const { preempt } = this.#parts.self.settings;
      const step = election.turn(now, standing, this.#parts.members, preempt, ({ position }) =>
        this.#parts.hosts.inSync(position),
      );
      if (step === null) break;
      this.#describe(describeStep(step, this.#parts.options.number));
      this.#step(step, now);
      took = step.kind === 'took';
    }
    if (election.state === 'master') {
      this.#changed(this.#parts.forwarders.decide(now, this.#parts.roster.surroundings(now)), now);
      this.#hold(now);
    }
    if (took) this.#showHosts(now);
    if (election.state !== 'stopped') this.#parts.hosts.follow(election.master, now);
    if (took && election.state === 'master') {
      this.#parts.forwarders.resume(this.#parts.roster.surroundings(now));
      this.#parts.desk.open(now);
    }
  }

  #step(step: ElectionStep, now: number): void {
    switch (step.kind) {
      case 'took':
        this.#suspended = false;
        return this.#say(2);
      case 'handed-over':
        this.#parts.desk.close();
        this.#hold(now);
        return this.#say(2);
      case 'yielded':
        this.#parts.desk.close();
        if (step.why === 'duplicate') {
          this.#suspended = true;
          this.#parts.holdings.suspend(now);
        }
        this.#followRows(now);
        return this.#say(1);
      case 'follows':
        return this.#followRows(now);
      case 'rival':
      case 'ready':
        return this.#say(1);
    }
  }

  #followRows(now: number): void {
    const advert = this.#acting?.advert;
    if (advert != null) this.#obey(advert, now);
  }

  #changed(changes: readonly ForwarderChange[], now: number): void {
    if (changes.length === 0) return;
    for (const change of changes) this.#describe(describeForwarder(change));
    this.#say(1);
    this.#showHosts(now);
  }

  /** Holds what is to be held; what is served from now on is shown to the switches at once. */
  #hold(now: number): void {
    if (this.#suspended) return;
    const standsIn = this.#isMaster && this.#parts.self.settings.replies === 'master';
    const wanted = this.#parts.roster.holdings(standsIn);
    for (const forwarder of this.#parts.holdings.set(wanted, now)) this.#parts.voice.teach(forwarder);
  }

  #showHosts(now: number): void {
    this.#viewsAt = NEVER;
    this.#parts.hosts.setForwarders(this.#parts.roster.views(), now);
  }

  #describe(described: Described | null): void {
    if (described !== null) this.#parts.log.add(this.#now, described.kind, described.number, described.text);
  }
}
