/**
 * Judges servers by the evidence that shards write into their cells, a few times a second, and by what the active check
 * says where there is one. No clock and no I/O of its own; main thread only.
 *
 * The rule. A client's control message that waits for any packet of its server opens the case, and every message until
 * then counts. Waited for `suspectAfter`, with more than one message: suspect, and new tunnels go elsewhere. With as
 * many unanswered messages as no bad line explains, of several tunnels, and `downAfter` gone by: down. With fewer
 * messages it takes accordingly longer; while one tunnel alone asks, `downAfterAlone`. A server whose data still flows
 * is suspect at most, and so is any whose answers another designator may have and cannot hand on. Any message of its own
 * closes the case.
 *
 * Where answers do not pass here, what counts is requests that come again, less those that do not
 * (dataplane/one-way-watch.ts); and a server whose load status messages stop while others' go on is suspect.
 */
import {
  CELL_WORDS,
  HEADER,
  LEND,
  SERVER_CELL,
  SERVER_REASON,
  SERVER_STATE,
  type TableMemory,
} from '../flow/layout.js';
import type { ServerStates } from './server-states.js';

/** Seconds, but for `passive`. */
export interface HealthSettings {
  readonly passive: boolean;
  readonly suspectAfter: number;
  readonly downAfter: number;
  readonly downAfterAlone: number;
  readonly slowStart: number;
  readonly lendFirst: number;
  readonly lendMost: number;
}

export interface HealthOptions {
  readonly memory: TableMemory;
  readonly states: ServerStates;
  readonly settings: HealthSettings;
  /** CLOCK_MONOTONIC seconds. */
  readonly now: () => number;
  /**
   * Has any tunnel of the server had a packet of it later than in this CLOCK_MONOTONIC second? Asked rarely, since it
   * may look at every tunnel.
   */
  readonly dataHeard: (server: number, second: number) => boolean;
  /**
   * The active check, where there is one: asks the server now, unless it is being asked, and answers through
   * `probeAnswered` and `probeFailed`. False: it cannot be asked.
   */
  readonly probe?: (server: number) => boolean;
  /** Its answers to clients do not pass here; absent: all do. */
  readonly oneWay?: (server: number) => boolean;
  /** Answers may come in at another designator that cannot hand them on to this one now; absent: none do. */
  readonly mayMiss?: () => boolean;
}

/**
 * Unanswered messages after which `downAfter` is long enough. With a fifth of the packets lost on either way to and from
 * a healthy server, a message stays unanswered with probability 0.36, and ten in a row with 0.00004.
 */
const ASKS_ENOUGH = 10;
/** Fewer are enough when they have waited longer: 0.36⁷ is 0.0008. */
const ASKS_SCANTY = 7;
const SCANTY_PATIENCE = 3;
/** Unanswered messages of a single tunnel, and of a case at all. */
const ASKS_ALONE = 5;
const ASKS_SUSPECT = 2;
/** Where answers do not pass here, loss repeats some requests of the healthiest server at any time. */
const ASKS_SUSPECT_ONE_WAY = 4;
/** ICMP errors that are evidence enough, and how long no packet of the server may contradict them. */
const UNREACHABLE_ENOUGH = 2;
const UNREACHABLE_SECONDS = 0.5;
/** Data is looked for so often at most. */
const DATA_SECONDS = 1;

interface Case {
  /** SERVER_STATE that a suspect server was in before. */
  before: number;
  /** When it is to be lent a request; OUT: no request has come since. */
  lendAt: number;
  lendInterval: number;
  /** It has been lent one. */
  lent: boolean;
  /** What was found when its tunnels were looked at for data, and when to look again. */
  dataHeard: boolean;
  dataLookAt: number;
}

const OUT = Number.POSITIVE_INFINITY;

export class Health {
  readonly #o: HealthOptions;
  readonly #cells: Int32Array;
  readonly #header: Int32Array;
  readonly #cases = new Map<number, Case>();
  /** One-way servers whose load status messages have stopped. */
  readonly #unheard = new Set<number>();
  #settings: HealthSettings;

  constructor(options: HealthOptions) {
    this.#o = options;
    this.#settings = options.settings;
    this.#cells = options.memory.servers;
    this.#header = options.memory.header;
    let wanted = 0;
    for (let at = SERVER_CELL.lend; at < this.#cells.length; at += CELL_WORDS)
      if (this.#cells[at] === LEND.wanted) wanted++;
    Atomics.store(this.#header, HEADER.lending, wanted);
  }

  setSettings(settings: HealthSettings): void {
    this.#settings = settings;
  }

  /** Its machine shows signs of life that say nothing of the tunnel server (load status, ARP, ND, ICMP). */
  stirs(server: number): void {
    if (this.#cell(server, SERVER_CELL.state) !== SERVER_STATE.down) return;
    const of = this.#case(server);
    if (of.lendAt !== OUT) of.lendAt = Math.min(of.lendAt, this.#o.now() + this.#settings.lendFirst);
  }

  /**
   * Its load status messages have stopped while those of others go on. Where its answers pass here they say enough. With
   * requests that come again it is down, without it is suspect until it is heard.
   */
  fellSilent(server: number, seconds: number): void {
    if (!(this.#o.oneWay?.(server) ?? false) || !this.#settings.passive) return;
    this.#unheard.add(server);
    const state = this.#cell(server, SERVER_CELL.state);
    if (!isJudged(state)) return;
    const detail = `none for ${seconds} s, while others come`;
    if (this.#cell(server, SERVER_CELL.asks) >= ASKS_SUSPECT) this.#down(server, SERVER_REASON.unheard, detail);
    else this.#suspect(server, SERVER_REASON.unheard, detail);
  }

  /** They come again. */
  speaks(server: number): void {
    this.#unheard.delete(server);
    this.stirs(server);
  }

  /** The active check had an answer. */
  probeAnswered(server: number): void {
    this.#clear(server);
    this.#unheard.delete(server);
    const state = this.#cell(server, SERVER_CELL.state);
    if (state === SERVER_STATE.down) this.#revive(server, SERVER_REASON.probeAnswered);
    else if (state === SERVER_STATE.suspect) this.#acquit(server, SERVER_REASON.probeAnswered);
  }

  /** The active check had no answer, as often as it takes. `since`: when the first of these questions was asked. */
  probeFailed(server: number, since: number, detail: string): void {
    if (!isJudged(this.#cell(server, SERVER_CELL.state))) return;
    const heard = this.#cell(server, SERVER_CELL.heard);
    // Whoever speaks with its clients lives, whatever it thinks of our question.
    if (heard !== 0 && ((heard - (Math.floor(since * 1000) | 0)) | 0) >= 0) return;
    if (this.#dataContradicts(server, since)) return this.#suspect(server, SERVER_REASON.probe, detail);
    this.#down(server, SERVER_REASON.probe, detail);
  }

  /** Its peer has taken over its tunnels, so it is down until it is heard from. */
  declareDown(server: number, detail: string): void {
    if (isJudged(this.#cell(server, SERVER_CELL.state))) this.#down(server, SERVER_REASON.takenOver, detail);
  }

  /** Somebody who knows says that it lives: it is to have tunnels of another one at once. */
  declareAlive(server: number): void {
    const state = this.#cell(server, SERVER_CELL.state);
    if (state === SERVER_STATE.down) this.#revive(server, SERVER_REASON.heard);
    else if (state === SERVER_STATE.suspect) this.#acquit(server, SERVER_REASON.heard);
    if (isJudged(state)) this.#clear(server);
  }

  /** The cell belongs to another server from now on. */
  forget(server: number): void {
    this.#cases.delete(server);
    this.#unheard.delete(server);
    this.#takeBack(server);
    this.#clear(server);
  }

  // ── one server ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Looks at a server (index of its cell). */
  judge(server: number): void {
    const state = this.#cell(server, SERVER_CELL.state);
    const now = this.#o.now();
    switch (state) {
      case SERVER_STATE.slowStart:
        if (now - this.#cell(server, SERVER_CELL.since) >= this.#settings.slowStart)
          this.#o.states.enter(server, SERVER_STATE.up, SERVER_REASON.slowStartOver);
        return this.#weigh(server, now);
      case SERVER_STATE.up:
      case SERVER_STATE.draining:
        return this.#weigh(server, now);
      case SERVER_STATE.suspect:
        if (this.#isClear(server) && !this.#unheard.has(server)) return this.#acquit(server, SERVER_REASON.heard);
        this.#weigh(server, now);
        if (this.#cell(server, SERVER_CELL.state) === SERVER_STATE.suspect) this.#lend(server, now);
        return;
      case SERVER_STATE.down:
        if (this.#cell(server, SERVER_CELL.heard) !== 0) {
          const { lent, lendAt } = this.#case(server);
          const tried = lent || (lendAt === OUT && this.#cell(server, SERVER_CELL.lend) !== LEND.wanted);
          return this.#revive(server, tried ? SERVER_REASON.answered : SERVER_REASON.heard);
        }
        return this.#lend(server, now);
      default:
        this.#takeBack(server);
    }
  }

  /** The evidence. */
  #weigh(server: number, now: number): void {
    const waiting = this.#cell(server, SERVER_CELL.waiting);
    if (waiting === 0 || !this.#settings.passive) return;
    const silence = (((Math.floor(now * 1000) | 0) - waiting) | 0) / 1000;
    const asks = this.#cell(server, SERVER_CELL.asks);
    const unreachable = this.#cell(server, SERVER_CELL.unreachable);
    const told = unreachable >= UNREACHABLE_ENOUGH && silence >= UNREACHABLE_SECONDS;
    const isOneWay = this.#o.oneWay?.(server) ?? false;
    const enough = isOneWay ? ASKS_SUSPECT_ONE_WAY : ASKS_SUSPECT;
    if (!told && (asks < enough || silence < this.#settings.suspectAfter)) return;
    const dead = told || this.#isDead(server, silence, asks);
    // The active check knows better, and soon.
    const asked = (this.#o.probe?.(server) ?? false) && !told;
    const detail = told
      ? `${unreachable} ICMP errors, no packet of it for ${silence.toFixed(1)} s`
      : isOneWay
        ? `requests of ${this.#askers(server)} came again ${asks} times in ${silence.toFixed(1)} s`
        : `${asks} control messages of ${this.#askers(server)} unanswered for ${silence.toFixed(1)} s`;
    const reason = told ? SERVER_REASON.unreachable : isOneWay ? SERVER_REASON.repeated : SERVER_REASON.unanswered;
    const misses = !told && (this.#o.mayMiss?.() ?? false);
    if (!dead || asked || misses || this.#dataContradicts(server, now - silence))
      return this.#suspect(server, reason, detail);
    this.#down(server, reason === SERVER_REASON.unanswered ? SERVER_REASON.silent : reason, detail);
  }

  #isDead(server: number, silence: number, asks: number): boolean {
    const { downAfter, downAfterAlone } = this.#settings;
    if (bits(this.#cell(server, SERVER_CELL.askers)) >= 2) {
      if (asks >= ASKS_ENOUGH && silence >= downAfter) return true;
      if (asks >= ASKS_SCANTY && silence >= Math.min(downAfterAlone, downAfter * SCANTY_PATIENCE)) return true;
    }
    return asks >= ASKS_ALONE && silence >= downAfterAlone;
  }

  #askers(server: number): string {
    const count = bits(this.#cell(server, SERVER_CELL.askers));
    return count === 1 ? 'one tunnel' : `${count} tunnels or more`;
  }

  /** Looks for data at most once a second; what was found holds so long. */
  #dataContradicts(server: number, since: number): boolean {
    const now = this.#o.now();
    const of = this.#case(server);
    if (now < of.dataLookAt) return of.dataHeard;
    of.dataLookAt = now + DATA_SECONDS;
    of.dataHeard = this.#o.dataHeard(server, Math.floor(since));
    return of.dataHeard;
  }

  // ── changes ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #suspect(server: number, reason: number, detail: string): void {
    const state = this.#cell(server, SERVER_CELL.state);
    // One that drains gets no new tunnels anyway.
    if (state !== SERVER_STATE.up && state !== SERVER_STATE.slowStart) return;
    const of = this.#case(server);
    of.before = state;
    of.lendInterval = this.#settings.lendFirst;
    of.lendAt = this.#o.now() + of.lendInterval;
    this.#o.states.enter(server, SERVER_STATE.suspect, reason, detail);
  }

  #acquit(server: number, reason: number): void {
    const { before } = this.#case(server);
    this.#takeBack(server);
    this.#cases.delete(server);
    this.#o.states.enter(server, before, reason);
  }

  #down(server: number, reason: number, detail: string): void {
    if (this.#cell(server, SERVER_CELL.state) === SERVER_STATE.down) return;
    const of = this.#case(server);
    of.lendInterval = this.#settings.lendFirst;
    of.lendAt = this.#o.now() + of.lendInterval;
    this.#clear(server);
    this.#cells[server * CELL_WORDS + SERVER_CELL.heard] = 0; // what stands there from now on is a sign of life
    this.#o.states.enter(server, SERVER_STATE.down, reason, detail);
  }

  #revive(server: number, reason: number): void {
    this.#takeBack(server);
    this.#clear(server);
    this.#cases.delete(server);
    const ordered = this.#o.states.ordered(server);
    const back = this.#settings.slowStart > 0 ? SERVER_STATE.slowStart : SERVER_STATE.up;
    this.#o.states.enter(server, ordered !== 0 ? ordered : back, reason);
  }

  // ── lending ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Lets a client's request try the server, at growing intervals. */
  #lend(server: number, now: number): void {
    const of = this.#case(server);
    const word = server * CELL_WORDS + SERVER_CELL.lend;
    const lend = this.#cells[word];
    if (lend === LEND.wanted) return;
    if (of.lendAt === OUT) {
      of.lent = true;
      of.lendAt = now + of.lendInterval;
      of.lendInterval = Math.min(of.lendInterval * 2, this.#settings.lendMost);
    }
    if (lend === LEND.hinted) {
      this.stirs(server);
      Atomics.compareExchange(this.#cells, word, LEND.hinted, LEND.none);
    }
    // One that is to drain is not tried: it is back when it says so itself.
    if (now < of.lendAt || this.#o.states.ordered(server) !== 0) return;
    if (Atomics.exchange(this.#cells, word, LEND.wanted) !== LEND.wanted) Atomics.add(this.#header, HEADER.lending, 1);
    of.lendAt = OUT;
  }

  #takeBack(server: number): void {
    const word = server * CELL_WORDS + SERVER_CELL.lend;
    if (Atomics.exchange(this.#cells, word, LEND.none) === LEND.wanted) Atomics.sub(this.#header, HEADER.lending, 1);
  }

  // ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #case(server: number): Case {
    let of = this.#cases.get(server);
    if (of === undefined) {
      const now = this.#o.now();
      of = {
        before: SERVER_STATE.up,
        lendAt: now,
        lendInterval: this.#settings.lendFirst,
        lent: false,
        dataHeard: false,
        dataLookAt: 0,
      };
      this.#cases.set(server, of);
    }
    return of;
  }

  #cell(server: number, word: number): number {
    return this.#cells[server * CELL_WORDS + word];
  }

  #isClear(server: number): boolean {
    return this.#cell(server, SERVER_CELL.waiting) === 0;
  }

  #clear(server: number): void {
    const at = server * CELL_WORDS;
    for (const word of [SERVER_CELL.asks, SERVER_CELL.repeats, SERVER_CELL.askers, SERVER_CELL.unreachable])
      this.#cells[at + word] = 0;
    Atomics.store(this.#cells, at + SERVER_CELL.waiting, 0);
  }
}

function isJudged(state: number): boolean {
  return (
    state === SERVER_STATE.up ||
    state === SERVER_STATE.slowStart ||
    state === SERVER_STATE.suspect ||
    state === SERVER_STATE.draining
  );
}

function bits(word: number): number {
  let count = 0;
  for (let left = word; left !== 0; left &= left - 1) count++;
  return count;
}
