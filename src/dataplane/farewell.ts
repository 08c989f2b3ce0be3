/**
 * Ends tunnels in the name of their ends, so that nobody waits for a minute: of a server that is down each client gets a
 * StopCCN as if from it, and at the end of a drain both ends get one from each other. Paced over all tunnels; repeated
 * until acknowledged, as RFC 2661 §5.8 wants it; what an end still sends meanwhile is acknowledged here and goes no
 * further, since the two dialogues are no longer one. The mapping then stays for a retransmission cycle (§5.7).
 *
 * What has been said and heard stands in the records' sequence words; only how far a farewell has come is private here.
 */
import { DelayQueue } from '../flow/delay-queue.js';
import { RECORD, RECORD_STATE } from '../flow/layout.js';
import type { ControlEvent } from '../tunnels/descriptor.js';
import { EVENT_CLOSE } from '../tunnels/descriptor.js';
import type { Ageing } from './ageing.js';
import { COUNTER } from './counters.js';
import { after } from './dialogue.js';
import type { Directory } from './directory.js';
import { CLOSE_REASON } from './event-tap.js';
import type { TunnelStore } from './tunnel-store.js';
import type { TunnelVoice } from './tunnel-voice.js';

/** Seconds after which an unacknowledged farewell is said again (RFC 2661 §5.8: doubling, capped at 8). */
const REPEAT_AFTER = [1, 2, 4, 8, 8] as const;
/** Farewells that wait for their repetition, for each of these times; beyond it one is said once only. */
const REPEAT_LIMIT = 32_768;
/** Records looked at in a turn. */
const SLICE = 16_384;
/** Part of a second's farewells that may be said at once. */
const BURST = 0.1;
/** Frames of one turn at most: the queue of frames to send is short, and traffic goes first. */
const TURN_LIMIT = 32;
/** Messages that may be on their way to an end that has not acknowledged them (RFC 2661 §5.8: window). */
const WINDOW = 64;

const TOLD = 1;
/** The client, the server, has been told … */
const TO_CLIENT = 2;
const TO_SERVER = 4;
/** … and has acknowledged it. */
const CLIENT_KNOWS = 8;
const SERVER_KNOWS = 16;

export interface FarewellSettings {
  /** Tunnels of a server that is down are ended. */
  readonly close: boolean;
  /** Result and error code for a client whose server is down. */
  readonly result: number;
  readonly error: number;
  /** Tunnels per second, of this shard. */
  readonly pace: number;
}

export interface FarewellParts {
  readonly store: TunnelStore;
  readonly voice: TunnelVoice;
  readonly ageing: Ageing;
  readonly statistics: Float64Array;
  /** Enters the closing state of a tunnel of this shard's own. */
  readonly close: (record: number, reason: number) => void;
}

interface Round {
  readonly server: number;
  /** The server lives and is told as well. */
  readonly lives: boolean;
  /** CLOCK_MONOTONIC seconds: till then its peer may take its tunnels. */
  readonly notBefore: number;
  /** Next record to look at. */
  cursor: number;
}

/** StopCCN result code 6: the requester is being shut down (RFC 2661 §4.4.2). */
const SHUTTING_DOWN = 6;

export class Farewell {
  readonly #p: FarewellParts;
  readonly #queues: readonly DelayQueue[];
  #rounds: Round[] = [];
  #settings: FarewellSettings = { close: true, result: 2, error: 7, pace: 1000 };
  #tokens = 0;
  #now = 0;
  /** Servers that are down, as far as this shard has been told, and until when their tunnels wait for a peer. */
  readonly #down = new Map<number, number>();
  // By record; made when the first farewell is said.
  #flags: Uint8Array | null = null;
  #attempts = new Uint8Array(0);
  #versions = new Uint16Array(0);
  /** Ns of the farewell to the client, and to the server. */
  #clientNs = new Uint16Array(0);
  #serverNs = new Uint16Array(0);

  constructor(parts: FarewellParts) {
    this.#p = parts;
    this.#queues = REPEAT_AFTER.map((seconds) => new DelayQueue(seconds, REPEAT_LIMIT));
  }

  setSettings(settings: FarewellSettings): void {
    this.#settings = settings;
  }

  /**
   * The server is down: its clients are told, unless they are to be left alone, but not before that CLOCK_MONOTONIC
   * second: till then its peer may take over its tunnels.
   */
  serverDown(server: number, notBefore = 0): void {
    this.#down.set(server, notBefore);
    this.#rounds = this.#rounds.filter((round) => round.server !== server);
    if (this.#settings.close) this.#rounds.push({ server, lives: false, notBefore, cursor: 0 });
  }

  /** It is back: those of its tunnels that stand still go on. */
  serverBack(server: number): void {
    this.#down.delete(server);
    this.#rounds = this.#rounds.filter((round) => round.server !== server || round.lives);
  }

  /** All its tunnels end, in good order. */
  release(server: number): void {
    if (this.#rounds.some((round) => round.server === server && round.lives)) return;
    this.#rounds.push({ server, lives: !this.#down.has(server), notBefore: 0, cursor: 0 });
  }

  /** There is something to say without waiting for traffic. */
  get busy(): boolean {
    return this.#tokens >= 1 && this.#rounds.some(({ notBefore }) => notBefore <= this.#now);
  }

  /** Once a turn. `directory` of the present plan. */
  step(now: number, directory: Directory): void {
    const { pace } = this.#settings;
    const passed = this.#now === 0 ? 1 : Math.max(0, now - this.#now);
    this.#tokens = Math.min(Math.max(1, pace * BURST), this.#tokens + passed * pace);
    this.#now = now;
    let left = TURN_LIMIT;
    for (let level = 0; level < this.#queues.length && left > 0; level++) {
      const queue = this.#queues[level];
      for (let record = queue.take(now); record >= 0 && left > 0; record = left > 0 ? queue.take(now) : -1) {
        left -= this.#repeat(record, level, directory) ? 1 : 0;
      }
    }
    for (let r = 0; r < this.#rounds.length && this.#tokens >= 1 && left > 0; ) {
      const round = this.#rounds[r];
      if (round.notBefore > now) {
        r++;
        continue;
      }
      left = this.#goOn(round, left, directory);
      if (round.cursor < this.#p.store.memory.layout.recordCount) return;
      this.#rounds.splice(r, 1);
    }
  }

  #goOn(round: Round, left: number, directory: Directory): number {
    const { store, ageing } = this.#p;
    const limit = Math.min(round.cursor + SLICE, store.memory.layout.recordCount);
    for (; round.cursor < limit; round.cursor++) {
      if (this.#tokens < 1 || left <= 0) return left;
      const record = round.cursor;
      const state = store.state(record);
      if (state === RECORD_STATE.free || state === RECORD_STATE.closing) continue;
      if (store.serverIndex(record) !== round.server || !ageing.owns(record) || store.isForeign(record)) continue;
      // Whose answers do not pass here is told by its server, or not at all.
      if (store.isOneWay(record)) continue;
      // A request without an answer goes to another server when it comes again.
      if (!round.lives && store.word(record, RECORD.serverChannel) === 0) continue;
      this.tell(record, round.lives, directory);
      this.#tokens--;
      left--;
    }
    return left;
  }

  /** Says farewell now and closes the tunnel. */
  tell(record: number, serverLives: boolean, directory: Directory): void {
    const { store, close, statistics } = this.#p;
    const reason = serverLives ? CLOSE_REASON.command : CLOSE_REASON.serverDown;
    if (this.#p.voice.speaks(record, directory) === null) return close(record, reason);
    const flags = this.#begin();
    const client = store.word(record, RECORD.clientSequence);
    const server = store.word(record, RECORD.serverSequence);
    this.#clientNs[record] = firstNs(server >>> 16, client & 0xffff);
    this.#serverNs[record] = firstNs(client >>> 16, server & 0xffff);
    close(record, reason);
    flags[record] = TOLD | TO_CLIENT | (serverLives ? TO_SERVER : 0);
    this.#versions[record] = store.pool.version(record);
    this.#attempts[record] = 0;
    statistics[COUNTER.tunnelsEnded]++;
    this.#say(record, true, directory);
    if (serverLives) this.#say(record, false, directory);
    this.#queues[0].push(record, this.#now);
  }

  /** A farewell has been said for this tunnel, whose dialogues are led here from then on. */
  has(record: number): boolean {
    const flags = this.#flags;
    return (
      flags !== null && (flags[record] & TOLD) !== 0 && this.#versions[record] === this.#p.store.pool.version(record)
    );
  }

  /**
   * A control message of an end, already entered into the record. True: it has been dealt with here and must not be
   * forwarded.
   */
  message(record: number, fromClient: boolean, event: ControlEvent, directory: Directory): boolean {
    const { store } = this.#p;
    if (!this.has(record)) {
      if (!fromClient || !this.#settings.close) return false;
      const notBefore = this.#down.get(store.serverIndex(record));
      if (notBefore === undefined || notBefore > this.#now) return false;
      // Whoever speaks does not wait for its turn. A closing tunnel may be one that an earlier process has ended.
      if (store.word(record, RECORD.serverChannel) === 0) return false;
      this.tell(record, false, directory);
      return true;
    }
    const flags = this.#flags as Uint8Array;
    const told = fromClient ? TO_CLIENT : TO_SERVER;
    const knows = fromClient ? CLIENT_KNOWS : SERVER_KNOWS;
    if ((flags[record] & told) === 0) {
      // The server was taken for dead, and speaks of a tunnel that its client has given up.
      flags[record] |= told;
      this.#say(record, fromClient, directory);
      return true;
    }
    if (event.kind === EVENT_CLOSE) flags[record] |= knows;
    else if ((flags[record] & knows) === 0) this.#acknowledged(record, fromClient);
    if (!event.hasBody) return true;
    if ((flags[record] & knows) !== 0) this.#acknowledge(record, fromClient, directory);
    else this.#say(record, fromClient, directory); // it acknowledges as well
    return true;
  }

  // ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #begin(): Uint8Array {
    if (this.#flags === null) {
      const { recordCount } = this.#p.store.memory.layout;
      this.#flags = new Uint8Array(recordCount);
      this.#attempts = new Uint8Array(recordCount);
      this.#versions = new Uint16Array(recordCount);
      this.#clientNs = new Uint16Array(recordCount);
      this.#serverNs = new Uint16Array(recordCount);
    }
    return this.#flags;
  }

  /** Is the farewell acknowledged by what this end has sent last? */
  #acknowledged(record: number, client: boolean): void {
    const { store } = this.#p;
    const flags = this.#flags as Uint8Array;
    const numbers = client ? this.#clientNs : this.#serverNs;
    const nr = store.word(record, client ? RECORD.clientSequence : RECORD.serverSequence) & 0xffff;
    if (after(nr, numbers[record])) flags[record] |= client ? CLIENT_KNOWS : SERVER_KNOWS;
  }

  /** Says it again to whoever has not acknowledged it; false when nobody is left. */
  #repeat(record: number, level: number, directory: Directory): boolean {
    if (!this.has(record)) return false;
    const { store } = this.#p;
    const flags = (this.#flags as Uint8Array)[record];
    const toClient = (flags & TO_CLIENT) !== 0 && (flags & CLIENT_KNOWS) === 0;
    const toServer = (flags & TO_SERVER) !== 0 && (flags & SERVER_KNOWS) === 0;
    if (!toClient && !toServer) return false;
    // An end that still expects an earlier number has missed the last message of the other: nobody will send it again.
    const client = store.word(record, RECORD.clientSequence) & 0xffff;
    const server = store.word(record, RECORD.serverSequence) & 0xffff;
    if (after(this.#clientNs[record], client)) this.#clientNs[record] = client;
    if (after(this.#serverNs[record], server)) this.#serverNs[record] = server;
    if (toClient) this.#say(record, true, directory);
    if (toServer) this.#say(record, false, directory);
    if (level + 1 < this.#queues.length) this.#queues[level + 1].push(record, this.#now);
    return true;
  }

  #say(record: number, toClient: boolean, directory: Directory): void {
    const { store, voice } = this.#p;
    const descriptor = voice.speaks(record, directory);
    const ids = voice.ids(record, toClient);
    if (descriptor?.endMessage === undefined || ids === null) return;
    const ns = (toClient ? this.#clientNs : this.#serverNs)[record];
    const nr = store.word(record, toClient ? RECORD.clientSequence : RECORD.serverSequence) >>> 16;
    const { result, error } = this.#settings;
    const payload = toClient
      ? descriptor.endMessage(ids.channel, ids.assigned, ns, nr, result, error)
      : descriptor.endMessage(ids.channel, ids.assigned, ns, nr, SHUTTING_DOWN, 0);
    voice.say(record, directory, toClient, payload);
  }

  #acknowledge(record: number, toClient: boolean, directory: Directory): void {
    const { store, voice, statistics } = this.#p;
    const descriptor = voice.speaks(record, directory);
    const ids = voice.ids(record, toClient);
    if (descriptor?.ackMessage === undefined || ids === null) return;
    const ns = ((toClient ? this.#clientNs : this.#serverNs)[record] + 1) & 0xffff;
    const nr = store.word(record, toClient ? RECORD.clientSequence : RECORD.serverSequence) >>> 16;
    statistics[COUNTER.proxyAnswered]++;
    voice.say(record, directory, toClient, descriptor.ackMessage(ids.channel, ns, nr));
  }
}

/**
 * The number that an end expects: behind the last message that the other end has sent it, which may be on its way; what
 * it acknowledged last where that is too far away to be true.
 */
function firstNs(said: number, acknowledged: number): number {
  return ((said - acknowledged) & 0xffff) < WINDOW ? said : acknowledged;
}
