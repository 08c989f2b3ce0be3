/**
 * A host of the segment with the neighbour cache of Linux (net/core/neighbour.c, net/ipv4/arp.c, net/ipv6/ndisc.c): what
 * it asks and when, which replies it believes, and when it lets an entry go. Only the entry of its gateway matters here.
 */
import { BROADCAST, type Mac, readMac } from '../../src/gateway/mac.js';
import type { AddressWords } from '../../src/wire/address.js';
import {
  announcementFrame,
  groupMacOf,
  isV4,
  readNeighbour,
  replyFrame,
  requestFrame,
  sameAddress,
} from './gateway-neighbours.js';
import type { Port, Segment, Station } from './gateway-segment.js';

/** Defaults of Linux: retrans_time, delay_first_probe_time, base_reachable_time, locktime; seconds. */
const RETRANSMIT = 1;
const DELAY_FIRST_PROBE = 5;
const BASE_REACHABLE = 30;
const LOCK_TIME = 1;
const TRIES = 3;
/** Seconds within which a gratuitous request and the reply behind it are one telling. */
export const TOLD = 0.005;

export type CacheState = 'none' | 'incomplete' | 'reachable' | 'stale' | 'delay' | 'probe' | 'failed';
export type AskKind = 'broadcast' | 'unicast' | 'probe';

/** One request, and what came of it. */
export interface Asked {
  readonly at: number;
  readonly kind: AskKind;
  replies: number;
  /** Virtual MAC of the first reply, and when it came. */
  mac: Mac | null;
  answeredAt: number;
}

export interface HostOptions {
  readonly mac: Mac;
  readonly address: AddressWords;
  /** The shared address that it uses. */
  readonly gateway: AddressWords;
  /** Sends packets all the time (true), or only when told. Default true. */
  readonly busy?: boolean;
  /** Believes only the first answer that it gets, for ever: a static entry, or a host that ignores what it did not ask. */
  readonly stubborn?: boolean;
  readonly startAt?: number;
}

export class ModelHost implements Station {
  readonly mac: Mac;
  readonly port: Port;
  state: CacheState = 'none';
  /** Where it sends its packets; null: nowhere yet. */
  gatewayMac: Mac | null = null;
  /** When the entry's address changed last. */
  changedAt = Number.NEGATIVE_INFINITY;
  readonly asked: Asked[] = [];
  /** Replies that answered no open request, of the kind that only an answer has. */
  surplus = 0;
  /** How often the entry went from one address to another. */
  moves = 0;
  /** Times at which it gave up asking. */
  readonly failures: number[] = [];
  busy: boolean;
  readonly #groups: readonly Mac[];
  #timer: number;
  #tries = 0;
  #updated = Number.NEGATIVE_INFINITY;
  /** The MAC of a gratuitous request that came just now: the reply behind it answers nothing. */
  #told: { mac: Mac; at: number } | null = null;

  constructor(
    readonly segment: Segment,
    readonly options: HostOptions,
  ) {
    this.mac = options.mac;
    const solicited: AddressWords = [0, 0, 0, (0xff000000 | (options.address[3] & 0xffffff)) >>> 0];
    this.#groups = isV4(options.address) ? [] : [groupMacOf([0, 0, 0, 1]), groupMacOf(solicited)];
    this.busy = options.busy ?? true;
    this.#timer = this.busy ? (options.startAt ?? segment.now) : Number.POSITIVE_INFINITY;
    this.port = segment.attach(this);
  }

  accepts(destination: Mac, frame: Uint8Array | null): boolean {
    if (destination === this.mac) return true;
    if (destination === BROADCAST) return frame === null || this.#concerned(frame);
    return this.#groups.includes(destination);
  }

  /** Is the host or its gateway in this broadcast? */
  #concerned(frame: Uint8Array): boolean {
    if (frame[12] !== 0x08 || frame[13] !== 0x06 || frame.length < 42) return false;
    return wordAt(frame, 38) === this.options.address[3] || wordAt(frame, 28) === this.options.gateway[3];
  }

  get nextTime(): number {
    return this.#timer;
  }

  /** The last request; throws when there was none. */
  get last(): Asked {
    const last = this.asked.at(-1);
    if (last === undefined) throw new Error('the host has asked nothing');
    return last;
  }

  /** Asks now, whatever the cache holds: `unicast` as the refresh of an entry, `probe` as address conflict detection. */
  ask(kind: AskKind = 'broadcast'): Asked {
    const { mac, address, gateway } = this.options;
    const asked: Asked = { at: this.segment.now, kind, replies: 0, mac: null, answeredAt: Number.NaN };
    this.asked.push(asked);
    const sender = { mac, address: kind === 'probe' ? null : address };
    this.port.send(requestFrame(sender, gateway, kind === 'unicast' ? this.gatewayMac : null));
    return asked;
  }

  /** Announces its own address to all. */
  announce(): void {
    this.port.send(announcementFrame({ mac: this.options.mac, address: this.options.address }));
  }

  /** A packet for the gateway: the cache does what it does at each. */
  use(now: number): void {
    if (this.state === 'none' || this.state === 'failed') {
      this.state = 'incomplete';
      this.#tries = 1;
      this.#timer = now + RETRANSMIT;
      this.ask();
    } else if (this.state === 'stale') {
      this.state = 'delay';
      this.#timer = now + DELAY_FIRST_PROBE;
    }
  }

  tick(now: number): void {
    if (this.#timer > now) return;
    this.#timer = Number.POSITIVE_INFINITY;
    switch (this.state) {
      case 'none':
      case 'failed':
        this.use(now);
        break;
      case 'incomplete':
        if (this.#tries++ < TRIES) {
          this.#timer = now + RETRANSMIT;
          this.ask();
        } else this.#fail(now);
        break;
      case 'reachable':
        this.state = 'stale';
        if (this.busy) this.use(now);
        break;
      case 'delay':
      case 'probe':
        if (this.state === 'delay') this.#tries = 0;
        this.state = 'probe';
        if (this.#tries++ < TRIES) {
          this.#timer = now + RETRANSMIT;
          this.ask('unicast');
        } else this.#fail(now);
        break;
      default:
    }
  }

  #fail(now: number): void {
    this.state = 'failed';
    this.failures.push(now);
    this.gatewayMac = null;
    // The next packet asks anew; a busy host has one soon.
    this.#timer = this.busy ? now + 0.01 : Number.POSITIVE_INFINITY;
  }

  receive(frame: Uint8Array, now: number): void {
    const { options } = this;
    const heard = readNeighbour(frame);
    if (heard === null || readMac(frame, 6) === options.mac) return;
    const toUs = readMac(frame) === options.mac;
    if (heard.kind === 'ask') {
      if (!sameAddress(heard.target, options.address)) return;
      this.port.send(replyFrame(options, heard.mac, heard.address));
      if (sameAddress(heard.address, options.gateway)) this.#update(heard.mac, 'stale', true, now);
      return;
    }
    if (!sameAddress(heard.address, options.gateway) || heard.mac === 0) return;
    const v4 = isV4(options.gateway);
    if (v4 && heard.override) this.#told = { mac: heard.mac, at: now };
    else if (heard.reply && toUs) {
      const told = this.#told;
      this.#told = null;
      if (told === null || told.mac !== heard.mac || now - told.at > TOLD) this.#count(heard.mac, now);
    }
    if (this.state === 'none' || this.state === 'failed') return;
    if (v4) {
      const override = heard.override || now - this.#updated > LOCK_TIME;
      this.#update(heard.mac, heard.reply && readMac(frame) !== BROADCAST ? 'reachable' : 'stale', override, now);
    } else if (this.state !== 'incomplete' || heard.mac !== 0) {
      // RFC 4861 §7.2.5: without O a different address only makes a reachable entry stale.
      this.#update(heard.mac, heard.reply ? 'reachable' : 'stale', heard.override || this.state === 'incomplete', now);
    }
  }

  #count(mac: Mac, now: number): void {
    const open = this.asked.at(-1);
    if (open === undefined) {
      this.surplus++;
      return;
    }
    if (open.replies++ === 0) {
      open.mac = mac;
      open.answeredAt = now;
    } else this.surplus++;
  }

  #update(mac: Mac, state: 'reachable' | 'stale', override: boolean, now: number): void {
    const differs = this.gatewayMac !== mac;
    if (this.options.stubborn === true && this.gatewayMac !== null && differs) return;
    if (differs && this.gatewayMac !== null && this.state !== 'incomplete' && !override) return;
    if (!differs && state === 'stale' && this.state !== 'incomplete') return;
    if (differs) {
      if (this.gatewayMac !== null) this.moves++;
      this.changedAt = now;
    }
    if (differs || this.state !== state) this.#updated = now;
    this.gatewayMac = mac;
    this.state = state;
    this.#timer = Number.POSITIVE_INFINITY;
    if (state === 'reachable') this.#timer = now + BASE_REACHABLE * (0.5 + this.segment.random());
    else if (this.busy) this.use(now);
  }
}

const wordAt = (frame: Uint8Array, at: number): number =>
  ((frame[at] << 24) | (frame[at + 1] << 16) | (frame[at + 2] << 8) | frame[at + 3]) >>> 0;
