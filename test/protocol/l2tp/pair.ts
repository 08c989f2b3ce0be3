/** Two endpoints and what is between them, in virtual time. */
import { createHash } from 'node:crypto';
import { type EndpointOptions, L2tpEndpoint } from '../../../src/protocol/l2tp/endpoint.js';
import type { L2tpEvent } from '../../../src/protocol/l2tp/events.js';
import type { Datagram, Peer } from '../../../src/protocol/l2tp/peer.js';
import type { TunnelProfile } from '../../../src/protocol/l2tp/profile.js';
import { type L2tpMessage, readMessage } from '../../../src/tunnels/l2tp/message.js';
import { viewOf } from '../../helpers/packet-builder.js';

/** Bytes that depend on the seed alone. */
export function seededRandom(seed: number | string): (length: number) => Uint8Array {
  let count = 0;
  return (length) => createHash('shake256', { outputLength: length }).update(`${seed} ${count++}`).digest();
}

/** Numbers below `bound` that depend on the seed alone (mulberry32). */
export function seededDice(seed: number): (bound: number) => number {
  let state = seed >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % bound;
  };
}

export const LAC: Peer = { address: '192.0.2.1', port: 1701, socket: 0 };
export const LNS: Peer = { address: '192.0.2.2', port: 1701, socket: 0 };

export function readAll(bytes: Uint8Array): L2tpMessage {
  const message = readMessage(viewOf(bytes), 0, bytes.length);
  if (typeof message === 'number') throw new Error(`malformed: ${message}`);
  return message;
}

/** How the link treats a datagram: seconds until each of its copies arrives; none: it is lost. */
export type Link = (datagram: Datagram, from: Peer) => readonly number[];

export const CLEAN: Link = () => [0.005];

/** Loses, repeats and delays, so that later ones overtake. Chances in percent. */
export function lossyLink(seed: number, loss: number, repeat = 10, jitter = 0.3): Link {
  const dice = seededDice(seed);
  const delay = (): number => 0.005 + (dice(1000) / 1000) * jitter * (dice(4) === 0 ? 1 : 0.05);
  return () => {
    if (dice(100) < loss) return [];
    return dice(100) < repeat ? [delay(), delay()] : [delay()];
  };
}

export interface End {
  readonly at: Peer;
  endpoint: L2tpEndpoint;
  /** Another endpoint in its place, which knows nothing. */
  remake: (profile: TunnelProfile, options?: Partial<EndpointOptions>) => void;
  /** Every event, in order. */
  readonly events: L2tpEvent[];
  /** What the owner does. */
  act: (event: L2tpEvent) => void;
}

interface Flight {
  readonly at: number;
  readonly order: number;
  readonly datagram: Datagram;
  readonly from: Peer;
}

export class Pair {
  now = 0;
  readonly lac: End;
  readonly lns: End;
  link: Link = CLEAN;
  /** Every message that was sent, also those that were lost. */
  readonly sent: { readonly from: Peer; readonly to: Peer; readonly bytes: Uint8Array; readonly at: number }[] = [];
  #flights: Flight[] = [];
  #order = 0;
  readonly #ends: readonly End[];

  constructor(profile: TunnelProfile = {}, options: Partial<EndpointOptions> = {}, seed: number | string = 1) {
    let made = 0;
    const fresh = (hostName: string, own: TunnelProfile, more: Partial<EndpointOptions>): L2tpEndpoint => {
      const random = seededRandom(`${hostName} ${seed} ${made++}`);
      return new L2tpEndpoint({ hostName, random, profile: () => own, ...options, ...more });
    };
    const make = (at: Peer, hostName: string): End => ({
      at,
      endpoint: fresh(hostName, profile, {}),
      remake(own, more = {}) {
        this.endpoint = fresh(hostName, own, more);
      },
      events: [],
      act: (event) => {
        if (event.type === 'tunnel-request') event.tunnel.accept();
        else if (event.type === 'call') event.session.accept();
        else if (event.type === 'call-answered' && event.session.isLac) event.session.connect({ txSpeed: 64_000 });
        if (event.type === 'call' && event.session.isLac) event.session.connect({ txSpeed: 64_000 });
      },
    });
    this.lac = make(LAC, 'lac');
    this.lns = make(LNS, 'lns');
    this.#ends = [this.lac, this.lns];
  }

  get names(): string[] {
    return this.sent.map(({ bytes }) => readAll(bytes).name);
  }

  /** Events of an end, by type. */
  types(end: End): string[] {
    return end.events.map(({ type }) => type);
  }

  /** The owner's part of a turn, then what is to be sent. */
  turn(end: End): void {
    for (let events = end.endpoint.events(); events.length > 0; events = end.endpoint.events()) {
      for (const event of events) {
        end.events.push(event);
        end.act(event);
      }
    }
    for (const datagram of end.endpoint.output(this.now)) {
      this.sent.push({ from: end.at, to: datagram.to, bytes: datagram.bytes, at: this.now });
      for (const after of this.link(datagram, end.at)) {
        const copy = { to: datagram.to, bytes: datagram.bytes.slice() };
        this.#flights.push({ at: this.now + after, order: this.#order++, datagram: copy, from: end.at });
      }
    }
  }

  /** Until nothing happens any more before this time (seconds from the start), or `done` says so. */
  run(until: number, done: () => boolean = () => false): void {
    for (const end of this.#ends) this.turn(end);
    for (let steps = 0; !done(); steps++) {
      if (steps > 200_000) throw new Error('no end');
      const next = Math.min(
        ...this.#ends.map(({ endpoint }) => Math.max(endpoint.nextTime, this.now)),
        ...this.#flights.map(({ at }) => at),
      );
      if (next > until) break;
      this.now = Math.max(this.now, next);
      const due = this.#flights.filter(({ at }) => at <= this.now).sort((a, b) => a.at - b.at || a.order - b.order);
      if (due.length > 0) this.#flights = this.#flights.filter(({ at }) => at > this.now);
      for (const { datagram, from } of due) {
        const end = this.#ends.find(({ at }) => at.address === datagram.to.address && at.port === datagram.to.port);
        end?.endpoint.receive(datagram.bytes, { ...from, socket: 0 }, this.now);
      }
      for (const end of this.#ends) this.turn(end);
    }
    if (!done()) this.now = Math.max(this.now, until);
  }
}
