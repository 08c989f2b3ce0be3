/**
 * A network segment in virtual time: learning switches joined by trunks, and stations at their ports. Links lose, delay,
 * reorder and repeat frames by a seeded chance; single directions are cut, cables moved to another switch, stations
 * stopped. What a station gets is scribbled over after its call, as the buffers of a socket are.
 */
import { BROADCAST, type Mac, readMac } from '../../src/gateway/mac.js';
import { randomOf } from './seeded-random.js';

/** Whatever hangs at a port. It sends with `Port.send`. */
export interface Station {
  /**
   * Whether its interface takes this frame, which a switch brings to all. A station may refuse here what it would only
   * throw away: that is much cheaper with thousands of them.
   */
  accepts(destination: Mac, frame: Uint8Array | null): boolean;
  /** The bytes are valid during the call only. `arrived`: when the interface got the frame, if that was earlier. */
  receive(frame: Uint8Array, now: number, arrived: number): void;
  tick(now: number): void;
  /** When `tick` wants to be called; Infinity: never. */
  readonly nextTime: number;
}

export interface LinkFaults {
  /** Chance that a frame of the station, or one to it, is lost. */
  lossOut: number;
  lossIn: number;
  /** Seconds one way, and what chance adds to it: more of it than frames are apart reorders them. */
  delay: number;
  jitter: number;
  /** Chance that a frame arrives twice. */
  repeat: number;
}

export interface SegmentOptions {
  readonly seed?: number;
  /** Of every port, unless its own say otherwise. */
  readonly faults?: Partial<LinkFaults>;
  readonly switches?: number;
}

/** What a switch keeps for a port that is silent (IEEE 802.1D §7.9.2). */
const AGEING = 300;
/** Frames that wait for a stopped station: a socket's buffer. */
const BACKLOG = 2000;
/** Calls of `tick` of one station at one time. */
const TURNS = 10;

export const isGroup = (mac: Mac): boolean => (Math.floor(mac / 0x10000000000) & 1) !== 0;

type What = (now: number) => void;

/** Things to do in the order of their times; of one time, in the order in which they were asked for. */
class Agenda {
  readonly #heap: { time: number; order: number; what: What }[] = [];
  #order = 0;

  get nextTime(): number {
    return this.#heap.length === 0 ? Number.POSITIVE_INFINITY : this.#heap[0].time;
  }

  add(time: number, what: What): void {
    const heap = this.#heap;
    const item = { time, order: this.#order++, what };
    let at = heap.length;
    heap.push(item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(item, heap[parent])) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = item;
  }

  take(): { time: number; what: What } {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop() as (typeof heap)[number];
    if (heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1], heap[child])) child++;
      if (!before(heap[child], last)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

const before = (a: { time: number; order: number }, b: { time: number; order: number }): boolean =>
  a.time < b.time || (a.time === b.time && a.order < b.order);

/** A station's cable. */
export class Port {
  readonly faults: LinkFaults;
  up = true;
  switch = 0;
  /** Frames and wake-ups wait while the station is stopped. */
  readonly #waiting: { frame: Uint8Array; at: number }[] = [];
  #stopped = false;
  #wakeAt = Number.POSITIVE_INFINITY;
  /** Frames lost because the backlog of a stopped station was full. */
  overrun = 0;

  constructor(
    readonly segment: Segment,
    readonly index: number,
    readonly station: Station,
    faults: Partial<LinkFaults>,
  ) {
    this.faults = { lossOut: 0, lossIn: 0, delay: 20e-6, jitter: 0, repeat: 0, ...faults };
  }

  send(frame: Uint8Array): void {
    this.segment.carry(this, frame);
  }

  /** Link down: the switch forgets what it learnt there. */
  setUp(up: boolean): void {
    this.up = up;
    if (!up) this.segment.forget(this);
  }

  /** SIGSTOP. */
  stop(): void {
    this.#stopped = true;
  }

  /** SIGCONT: what queued up comes at once, the overdue timer after it. */
  resume(): void {
    this.#stopped = false;
    for (const { frame, at } of this.#waiting.splice(0)) this.station.receive(frame, this.segment.now, at);
    this.station.tick(this.segment.now);
    this.schedule();
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  arrive(frame: Uint8Array, now: number): void {
    if (!this.up) return;
    const copy = frame.slice();
    if (this.#stopped) {
      if (this.#waiting.length < BACKLOG) this.#waiting.push({ frame: copy, at: now });
      else this.overrun++;
      return;
    }
    this.station.receive(copy, now, now);
    copy.fill(0xa5);
    this.schedule();
  }

  /** Asks for the station's next `tick`; whoever changes a station from outside calls it afterwards. */
  schedule(): void {
    const time = Math.max(this.station.nextTime, this.segment.now);
    if (time >= this.#wakeAt || time === Number.POSITIVE_INFINITY) return;
    this.#wakeAt = time;
    this.segment.at(time, (now) => {
      if (this.#wakeAt !== time) return;
      this.#wakeAt = Number.POSITIVE_INFINITY;
      if (this.#stopped) return;
      // A station that wants to be called at once, for ever, would stop the clock.
      for (let turns = 0; this.station.nextTime <= now; turns++) {
        if (turns === TURNS) throw new Error(`station ${this.index} asks for ${this.station.nextTime} at ${now}`);
        this.station.tick(now);
      }
      this.schedule();
    });
  }
}

/** Where a switch has learnt an address: one of its ports, or the trunk to another switch. */
interface Learnt {
  port: Port | null;
  trunk: number;
  at: number;
}

export class Segment {
  now = 0;
  readonly ports: Port[] = [];
  readonly random: () => number;
  /** Every frame that reaches a switch from a station. */
  onFrame: ((frame: Uint8Array, from: Port, now: number) => void) | null = null;
  /** How often a switch saw an address at another port than before. */
  readonly macMoves = new Map<number, number>();
  readonly #agenda = new Agenda();
  readonly #faults: Partial<LinkFaults>;
  readonly #switches: Map<number, Learnt>[];
  readonly #trunksDown = new Set<number>();
  readonly #cuts = new Set<number>();
  /** Ports by the address that they take, but for broadcast. */
  readonly #takers = new Map<Mac, readonly Port[]>();

  constructor(options: SegmentOptions = {}) {
    this.random = randomOf(options.seed ?? 1);
    this.#faults = options.faults ?? {};
    this.#switches = Array.from({ length: options.switches ?? 1 }, () => new Map());
  }

  attach(station: Station, faults: Partial<LinkFaults> = {}): Port {
    const port = new Port(this, this.ports.length, station, { ...this.#faults, ...faults });
    this.ports.push(port);
    this.#takers.clear();
    port.schedule();
    return port;
  }

  at(time: number, what: What): void {
    this.#agenda.add(Math.max(time, this.now), what);
  }

  /** Runs until this time, inclusive. */
  run(until: number): void {
    while (this.#agenda.nextTime <= until) {
      const { time, what } = this.#agenda.take();
      this.now = time;
      what(time);
    }
    this.now = until;
  }

  runFor(seconds: number): void {
    this.run(this.now + seconds);
  }

  /** Runs until the condition holds, looking every `step`; the time it took, or Infinity. */
  runUntil(condition: () => boolean, limit: number, step = 0.001): number {
    const start = this.now;
    while (!condition()) {
      if (this.now - start >= limit) return Number.POSITIVE_INFINITY;
      this.runFor(step);
    }
    return this.now - start;
  }

  /** Nothing of `from` reaches `to`; the other way stays. */
  cut(from: Port, to: Port): void {
    this.#cuts.add(from.index * 65536 + to.index);
  }

  mend(from?: Port, to?: Port): void {
    if (from === undefined || to === undefined) this.#cuts.clear();
    else this.#cuts.delete(from.index * 65536 + to.index);
  }

  isCut(from: Port, to: Port): boolean {
    return this.#cuts.has(from.index * 65536 + to.index) || !this.connected(from, to);
  }

  /** Puts groups of ports on switches of their own and takes the trunks down; ports not named stay at the first. */
  partition(groups: readonly (readonly Port[])[]): void {
    while (this.#switches.length < groups.length) this.#switches.push(new Map());
    groups.forEach((ports, to) => {
      for (const port of ports) {
        if (port.switch === to) continue;
        this.forget(port);
        port.switch = to;
      }
    });
    for (let a = 0; a < this.#switches.length; a++) {
      for (let b = 0; b < this.#switches.length; b++) if (a !== b) this.#setTrunk(a, b, false);
    }
  }

  /** The trunks are up again; ports stay where they are. */
  heal(): void {
    this.#trunksDown.clear();
  }

  connected(a: Port, b: Port): boolean {
    return a.up && b.up && (a.switch === b.switch || !this.#trunksDown.has(a.switch * 256 + b.switch));
  }

  forget(port: Port): void {
    const table = this.#switches[port.switch];
    for (const [mac, learnt] of table) if (learnt.port === port) table.delete(mac);
  }

  #setTrunk(a: number, b: number, up: boolean): void {
    if (up) this.#trunksDown.delete(a * 256 + b);
    else this.#trunksDown.add(a * 256 + b);
    if (up) return;
    for (const [mac, learnt] of this.#switches[a])
      if (learnt.port === null && learnt.trunk === b) this.#switches[a].delete(mac);
  }

  /** A frame on its way: the sender's link, the switches, the receivers' links. */
  carry(from: Port, sent: Uint8Array): void {
    if (!from.up) return;
    const frame = sent.slice();
    const times = this.random() < from.faults.repeat ? 2 : 1;
    for (let i = 0; i < times; i++) {
      if (from.faults.lossOut > 0 && this.random() < from.faults.lossOut) continue;
      this.at(this.now + this.#delay(from), (now) => this.#switched(from, frame, now));
    }
  }

  #delay(port: Port): number {
    const { delay, jitter } = port.faults;
    return jitter > 0 ? delay + jitter * this.random() : delay;
  }

  #switched(from: Port, frame: Uint8Array, now: number): void {
    if (!from.up || frame.length < 14) return;
    this.onFrame?.(frame, from, now);
    const source = readMac(frame, 6);
    if (!isGroup(source)) this.#learn(from, source, now);
    for (const port of this.route(from, readMac(frame), now, frame)) {
      if (this.#cuts.has(from.index * 65536 + port.index)) continue;
      if (port.faults.lossIn > 0 && this.random() < port.faults.lossIn) continue;
      this.at(now + this.#delay(port), (at) => port.arrive(frame, at));
    }
  }

  #learn(from: Port, source: Mac, now: number): void {
    this.#switches.forEach((table, index) => {
      if (index !== from.switch && this.#trunksDown.has(from.switch * 256 + index)) return;
      const port = index === from.switch ? from : null;
      const known = table.get(source);
      if (known === undefined) table.set(source, { port, trunk: from.switch, at: now });
      else {
        if (known.port !== port || (port === null && known.trunk !== from.switch)) {
          this.macMoves.set(source, (this.macMoves.get(source) ?? 0) + 1);
        }
        Object.assign(known, { port, trunk: from.switch, at: now });
      }
    });
  }

  /** The ports to which a frame of `from` for this address goes: where it was learnt, else everywhere it is taken. */
  route(from: Port, destination: Mac, now = this.now, frame: Uint8Array | null = null): Port[] {
    const learnt = isGroup(destination) ? undefined : this.#lookUp(from.switch, destination, now);
    if (learnt?.port) return learnt.port === from ? [] : [learnt.port];
    if (learnt !== undefined) {
      const there = this.#lookUp(learnt.trunk, destination, now);
      if (there?.port) return [there.port];
      if (there !== undefined) return [];
      return this.#flood(from, destination, frame).filter((port) => port.switch === learnt.trunk);
    }
    const flooded = this.#flood(from, destination, frame);
    if (isGroup(destination)) return flooded;
    // A switch behind a trunk may know better than to flood.
    return flooded.filter((port) => {
      if (port.switch === from.switch) return true;
      const there = this.#lookUp(port.switch, destination, now);
      return there === undefined || there.port === port;
    });
  }

  #lookUp(at: number, destination: Mac, now: number): Learnt | undefined {
    const learnt = this.#switches[at].get(destination);
    return learnt !== undefined && now - learnt.at < AGEING ? learnt : undefined;
  }

  #flood(from: Port, destination: Mac, frame: Uint8Array | null): Port[] {
    const taken: Port[] = [];
    // Only who takes a broadcast hangs on the frame.
    const known = destination !== BROADCAST;
    for (const port of known ? this.#takersOf(destination) : this.ports) {
      if (port === from || !(known || port.station.accepts(destination, frame))) continue;
      if (this.connected(from, port)) taken.push(port);
    }
    return taken;
  }

  #takersOf(destination: Mac): readonly Port[] {
    let takers = this.#takers.get(destination);
    if (takers === undefined) {
      takers = this.ports.filter((port) => port.station.accepts(destination, null));
      this.#takers.set(destination, takers);
    }
    return takers;
  }
}
