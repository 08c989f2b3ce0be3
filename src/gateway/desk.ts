/**
 * Where a group meets its hosts: what they ask is answered by the master, and only by it (document 004, claims 1, 4); the
 * others remember it, in case there is no master, and hand on what was sent to their virtual MACs alone.
 */
import type { AddressWords } from '../wire/address.js';
import { isIpv4 } from '../wire/address.js';
import { Announcer } from './answers/announcer.js';
import { Answers } from './answers/answers.js';
import { ConflictDefence } from './answers/defence.js';
import type { Ask, Claim } from './answers/heard.js';
import { SourceLimits } from './answers/limits.js';
import { PendingAsks } from './answers/pending.js';
import { RouterAdvertiser } from './answers/router-advertiser.js';
import type { Hosts } from './hosts/hosts.js';
import { type Mac, macText, readMac } from './mac.js';
import type { GatewayEventKind, GroupOptions, GroupSettings } from './types.js';

/** What the desk needs of its group. */
export interface DeskContext {
  /** Do we answer? */
  readonly master: boolean;
  /** Is another master known, to whom questions can be handed? */
  readonly handsOn: boolean;
  /** Can any gateway of the group forward? */
  forwards(): boolean;
  serves(forwarder: number): boolean;
  send(frame: Uint8Array): void;
  /** A reply that names this forwarder. */
  reply(forwarder: number, frame: Uint8Array): void;
  hand(frame: Uint8Array): void;
  tell(host: Mac, addresses: readonly AddressWords[], forwarder: number): void;
  event(kind: GatewayEventKind, number: number, mac: Mac | null, text: string): void;
}

/** Questions that came to one member and to the master: seconds for which they are matched, and how many hosts at a time. */
const MATCH_FOR = 0.5;
const MATCH_LIMIT = 4096;

interface Match {
  readonly at: number;
  direct: number;
  handed: number;
  answered: number;
}

export class Desk {
  readonly answers: Answers;
  readonly counters: Record<string, number> = {
    asked: 0,
    answered: 0,
    answeredLate: 0,
    announced: 0,
    handed: 0,
    handedTwice: 0,
    noForwarder: 0,
    ownSource: 0,
    routerSolicitations: 0,
  };
  readonly #context: DeskContext;
  readonly #hosts: Hosts;
  readonly #limits: SourceLimits;
  readonly #pending = new PendingAsks();
  readonly #defence = new ConflictDefence();
  readonly #advertiser: RouterAdvertiser;
  readonly #announcer = new Announcer();
  /** All hosts have the master. */
  #alone: boolean;
  readonly #port: Mac;
  readonly #number: number;
  /** Until when another master has answered, as far as it was heard. */
  #answered = Number.NEGATIVE_INFINITY;
  readonly #matches = new Map<number, Match>();

  constructor(options: GroupOptions, hosts: Hosts, context: DeskContext) {
    const { scheme, group, addresses, advertise, random, perSource } = options;
    this.#context = context;
    this.#hosts = hosts;
    this.#port = readMac(options.mac);
    this.#number = options.number;
    this.#alone = options.algorithm === 'master';
    this.answers = new Answers({ scheme, group, addresses });
    this.#limits = new SourceLimits(perSource);
    const source = addresses.find((words) => words[0] >>> 22 === 0xfe80 >>> 6) ?? null;
    this.#advertiser = new RouterAdvertiser({ scheme, group, source, advertise, random });
  }

  configure(settings: Partial<GroupSettings>, now: number): void {
    if (settings.perSource !== undefined) this.#limits.configure(settings.perSource);
    if (settings.algorithm !== undefined && this.#alone !== (settings.algorithm === 'master')) {
      this.#alone = !this.#alone;
      this.#announcer.stop();
      if (this.#alone && this.#context.master) this.#announcer.start(now);
    }
    if (settings.advertise === undefined) return;
    for (const frame of this.#advertiser.configure(settings.advertise, now)) this.#context.send(frame);
  }

  /** A frame that is no message of a member. `arrived`: when the host got it. */
  receive(frame: Uint8Array, now: number, arrived: number): void {
    const heard = this.answers.classify(frame);
    switch (heard.kind) {
      case 'ask':
        return this.#ask(heard, frame, now, arrived);
      case 'claim':
        return this.#claim(heard, frame, now, arrived);
      case 'sighting':
        if (this.#hosts.forwarderOf(heard.host) !== 0) this.#hosts.learn(heard.host, heard.address, now);
        return;
      case 'router-solicitation':
        this.counters.routerSolicitations++;
        if (this.#context.master) this.#advertiser.solicited(heard.host, heard.address, now);
        return;
      case 'own':
        // Frames that we send do not come back to us: this is a loop, or somebody pretends.
        if (this.#context.serves(heard.forwarder)) this.counters.ownSource++;
        return;
      case 'ignored': {
        const name = `ignored.${heard.reason}`;
        this.counters[name] = (this.counters[name] ?? 0) + 1;
      }
    }
  }

  /** A member hands us a question that came to it alone. */
  handed(frame: Uint8Array, now: number): void {
    const heard = this.answers.classify(frame);
    const ask = heard.kind === 'ask' ? heard : heard.kind === 'claim' ? heard.ask : null;
    if (ask === null || !this.#context.master) return;
    this.counters.asked++;
    if (!this.#admitted(ask, now)) return;
    const match = this.#match(ask, now);
    match.handed++;
    if (match.handed > match.answered) {
      match.answered++;
      this.#answer(ask, now);
    } else this.counters.handedTwice++;
  }

  /** The master has been at work until this time. */
  answeredUntil(time: number): void {
    this.#answered = Math.max(this.#answered, time);
    this.#pending.answeredUntil(time);
  }

  /** We are master now. What nobody answered is answered. */
  open(now: number): void {
    this.#advertiser.setOpen(this.#context.forwards(), now);
    this.#advertiser.start(this.#number, now);
    if (this.#alone) this.#announcer.start(now);
    this.#announce(now);
    this.#answerPending(now);
  }

  /** We are not master any more. */
  close(): void {
    this.#advertiser.stop();
    this.#announcer.stop();
    this.#defence.stop();
    this.#matches.clear();
  }

  /** The group ends with us: hosts are told that there is no router any more. */
  farewell(): void {
    for (const frame of this.#advertiser.farewell()) this.#context.send(frame);
  }

  /** A member is heard that was not: it may have been master where we were not heard. */
  heardAgain(now: number): void {
    if (this.#alone && this.#context.master) this.#announcer.again(now);
  }

  tick(now: number): void {
    if (!this.#context.master) return;
    this.#announce(now);
    this.#answerPending(now);
    for (const frame of this.#advertiser.setOpen(this.#context.forwards(), now)) this.#context.send(frame);
    for (const frame of this.#advertiser.tick(now)) this.#context.send(frame);
    for (const { mac, addresses, forwarder } of this.#defence.turn(() => this.#hosts.rows(now), now))
      this.#context.tell(mac, addresses, forwarder);
    if (this.#matches.size > 0) this.#forgetMatches(now);
  }

  nextTime(now: number): number {
    if (!this.#context.master) return Number.POSITIVE_INFINITY;
    const waiting = this.#pending.size > 0 ? now + 0.005 : Number.POSITIVE_INFINITY;
    return Math.min(waiting, this.#advertiser.nextTime, this.#defence.nextTime, this.#announcer.nextTime);
  }

  allCounters(): Record<string, number> {
    const { overflow, expired } = this.#pending.counters();
    const limits = this.#limits.counters();
    const defence = this.#defence.counters();
    const advertiser = this.#advertiser.counters();
    return {
      ...this.counters,
      'limited.perSource': limits.perSource,
      'limited.strangers': limits.strangers,
      'limited.forgotten': limits.forgotten,
      'pending.overflow': overflow,
      'pending.expired': expired,
      'conflicts.claims': defence.claims,
      'conflicts.defences': defence.defences,
      'conflicts.told': defence.told,
      'conflicts.unnamed': defence.unnamed,
      'advertisements.periodic': advertiser.periodic,
      'advertisements.unicast': advertiser.unicast,
    };
  }

  #claim(claim: Claim, frame: Uint8Array, now: number, arrived: number): void {
    if (this.#defence.heard(claim, this.#context.master, now)) {
      const family = isIpv4(claim.target[0], claim.target[1], claim.target[2]) ? 'IPv4' : 'IPv6';
      const text = `station ${macText(claim.station)} claims a shared ${family} address`;
      this.#context.event('address-conflict', 0, claim.station, text);
    }
    if (claim.ask !== null) this.#ask(claim.ask, frame, now, arrived);
  }

  #ask(ask: Ask, frame: Uint8Array, now: number, arrived: number): void {
    this.counters.asked++;
    if (!this.#admitted(ask, now)) return;
    // Whoever the frame went to by its destination: the port of one gateway, or all of them.
    const alone = ask.forwarder !== 0 || readMac(frame) === this.#port;
    if (!this.#context.master) {
      // Messages of members may be read before questions that came earlier.
      if (arrived >= this.#answered) this.#pending.remember(ask, arrived);
      const ours = ask.forwarder === 0 ? alone : this.#context.serves(ask.forwarder);
      if (!ours || !this.#context.handsOn) return;
      this.counters.handed++;
      this.#context.hand(frame);
      return;
    }
    if (this.#hosts.settling(now) && this.#hosts.forwarderOf(ask.host) === 0) {
      this.#pending.remember(ask, arrived);
      return;
    }
    if (alone && !this.#context.serves(ask.forwarder)) {
      const match = this.#match(ask, now);
      match.direct++;
      if (match.direct <= match.answered) {
        this.counters.handedTwice++;
        return;
      }
      match.answered++;
    }
    this.#answer(ask, now);
  }

  #admitted(ask: Ask, now: number): boolean {
    if (this.#limits.admit(ask.host, this.#hosts.forwarderOf(ask.host) !== 0, now, ask.index)) return true;
    if (this.#limits.flooding(ask.host, now))
      this.#context.event('flood', 0, ask.host, `station ${macText(ask.host)} asks too often, and is answered less`);
    return false;
  }

  #answer(ask: Ask, now: number): void {
    const about = { address: ask.address, turn: ask.turn, uses: ask.forwarder };
    const forwarder = this.#hosts.choose(ask.host, about, now);
    if (forwarder === null) {
      this.counters.noForwarder++;
      return;
    }
    this.counters.answered++;
    this.#context.reply(forwarder, this.answers.reply(ask, forwarder));
  }

  /** All hosts are ours: everybody is told at once, and each host that is known also by itself, until it has heard. */
  #announce(now: number): void {
    if (!this.#announcer.due(now)) return;
    // Another one still serves its virtual MAC, or it cannot forward.
    if (!this.#context.serves(this.#number)) return this.#announcer.again(now);
    this.counters.announced++;
    for (const frame of this.answers.announce(this.#number)) this.#context.send(frame);
    this.#hosts.move(null, this.#number, now);
  }

  #answerPending(now: number): void {
    if (this.#pending.size === 0) return;
    const settling = this.#hosts.settling(now);
    for (const ask of this.#pending.take(now)) {
      if (settling && this.#hosts.forwarderOf(ask.host) === 0) this.#pending.remember(ask, now);
      else {
        this.counters.answeredLate++;
        this.#answer(ask, now);
      }
    }
  }

  /** The same question may reach the master itself, when a switch floods it, and once more from the member it was for. */
  #match(ask: Ask, now: number): Match {
    const key = ask.host * 2 + (ask.protocol === 'arp' ? 0 : 1);
    const known = this.#matches.get(key);
    if (known !== undefined && now - known.at < MATCH_FOR) return known;
    this.#matches.delete(key);
    if (this.#matches.size >= MATCH_LIMIT) this.#matches.delete(this.#matches.keys().next().value as number);
    const match = { at: now, direct: 0, handed: 0, answered: 0 };
    this.#matches.set(key, match);
    return match;
  }

  #forgetMatches(now: number): void {
    for (const [key, { at }] of this.#matches) {
      if (now - at < MATCH_FOR) return;
      this.#matches.delete(key);
    }
  }
}
