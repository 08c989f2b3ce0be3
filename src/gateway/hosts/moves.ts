/**
 * The hosts that are to get another forwarder, in the order in which they are told, and no more of them in a second than
 * the pace allows. A host is told by a frame of its own (unicast ARP, neighbour advertisement), so it moves now and not
 * when its cache ages; one frame may be lost, so each is told once more a little later.
 */
import type { Mac } from '../mac.js';
import type { MoveReason } from './types.js';

/** Seconds until a host is told again: longer than Linux refuses to change a fresh neighbour entry (1 s, `locktime`). */
const REPEAT = 1.5;
/** Part of a second's moves that is made at once. */
const BATCH = 1 / 40;
const REPEATS_LIMIT = 65_536;

export interface Planned {
  readonly host: Mac;
  readonly from: number;
  /** 0: chosen when it is told. */
  readonly to: number;
  readonly reason: MoveReason;
}

/** So many in a second, and a batch of them at once. */
class Pace {
  readonly rate: number;
  readonly batch: number;
  #tokens: number;
  #at = Number.NEGATIVE_INFINITY;

  constructor(rate: number) {
    this.rate = rate;
    this.batch = Math.max(1, Math.ceil(rate * BATCH));
    this.#tokens = this.batch;
  }

  take(now: number, wanted: number): number {
    this.#tokens = Math.min(this.batch, this.#at === Number.NEGATIVE_INFINITY ? this.batch : this.#grown(now));
    this.#at = now;
    const taken = Math.min(wanted, Math.floor(this.#tokens + 1e-9));
    this.#tokens -= taken;
    return taken;
  }

  /** When there is room for a batch, or for all that are left. */
  due(left: number): number {
    if (this.#at === Number.NEGATIVE_INFINITY) return this.#at;
    const wanted = Math.min(left, this.batch);
    return this.#at + Math.max(0, wanted - this.#tokens) / this.rate;
  }

  #grown(now: number): number {
    return this.#tokens + Math.max(0, now - this.#at) * this.rate;
  }
}

/** First come, first told; a host stands in it once. */
class Queue {
  readonly #planned = new Map<Mac, Planned>();
  readonly #pace: Pace;

  constructor(rate: number) {
    this.#pace = new Pace(rate);
  }

  get size(): number {
    return this.#planned.size;
  }

  get(host: Mac): Planned | undefined {
    return this.#planned.get(host);
  }

  add(planned: Planned): void {
    this.#planned.set(planned.host, planned);
  }

  delete(host: Mac): void {
    this.#planned.delete(host);
  }

  clear(): void {
    this.#planned.clear();
  }

  /** The next ones that the pace allows; they leave the queue. */
  next(now: number): Planned[] {
    if (this.#planned.size === 0) return [];
    const allowed = this.#pace.take(now, this.#planned.size);
    const next: Planned[] = [];
    for (const planned of this.#planned.values()) {
      if (next.length >= allowed) break;
      next.push(planned);
    }
    for (const { host } of next) this.#planned.delete(host);
    return next;
  }

  get due(): number {
    return this.#planned.size === 0 ? Number.POSITIVE_INFINITY : this.#pace.due(this.#planned.size);
  }
}

export class MoveQueue {
  repeatsDropped = 0;
  readonly #fast: Queue;
  /** Hosts that come back gradually. */
  readonly #slow: Queue;
  /** Hosts to be told where they are, without a move. */
  readonly #again: Queue;
  readonly #leaving = new Int32Array(256);
  /** Hosts to be told once more, in the order of their times. */
  #repeats: { host: Mac; at: number }[] = [];
  #repeated = 0;

  constructor(options: { movesPerSecond: number; returnsPerSecond: number }) {
    this.#fast = new Queue(options.movesPerSecond);
    this.#slow = new Queue(options.returnsPerSecond);
    this.#again = new Queue(options.movesPerSecond);
  }

  get size(): number {
    return this.#fast.size + this.#slow.size;
  }

  /** Planned moves away from a forwarder. */
  leaving(forwarder: number): number {
    return this.#leaving[forwarder];
  }

  get(host: Mac): Planned | undefined {
    return this.#fast.get(host) ?? this.#slow.get(host);
  }

  /** Plans a move; an earlier plan for the host is given up. */
  add(planned: Planned, gradually = false): void {
    this.delete(planned.host);
    this.#leaving[planned.from]++;
    (gradually ? this.#slow : this.#fast).add(planned);
  }

  delete(host: Mac): void {
    const planned = this.get(host);
    if (planned === undefined) return;
    this.#leaving[planned.from]--;
    this.#fast.delete(host);
    this.#slow.delete(host);
  }

  clear(): void {
    this.#fast.clear();
    this.#slow.clear();
    this.#again.clear();
    this.#leaving.fill(0);
    this.#repeats = [];
    this.#repeated = 0;
  }

  next(now: number): Planned[] {
    const next = [...this.#fast.next(now), ...this.#slow.next(now)];
    for (const planned of next) this.#leaving[planned.from]--;
    return next;
  }

  /** The host is to be told where it is. */
  tellAgain(host: Mac): void {
    this.#again.add({ host, from: 0, to: 0, reason: 'straggler' });
  }

  /** Hosts that are to be told where they are now, as many as the pace allows. */
  again(now: number): Mac[] {
    return this.#again.next(now).map(({ host }) => host);
  }

  /** The host was told; it will be told once more. */
  told(host: Mac, now: number): void {
    if (this.#repeats.length - this.#repeated >= REPEATS_LIMIT) this.repeatsDropped++;
    else this.#repeats.push({ host, at: now + REPEAT });
  }

  /** Hosts that are to be told once more now. */
  repeats(now: number): Mac[] {
    const due: Mac[] = [];
    while (this.#repeated < this.#repeats.length && this.#repeats[this.#repeated].at <= now) {
      due.push(this.#repeats[this.#repeated++].host);
    }
    if (this.#repeated > 1024 || this.#repeated === this.#repeats.length) {
      this.#repeats = this.#repeats.slice(this.#repeated);
      this.#repeated = 0;
    }
    return due;
  }

  get nextTime(): number {
    const repeat = this.#repeats[this.#repeated]?.at ?? Number.POSITIVE_INFINITY;
    return Math.min(this.#fast.due, this.#slow.due, this.#again.due, repeat);
  }
}
