/**
 * The option negotiation automaton of RFC 1661 §4, which LCP and all NCPs share. What the options mean is the business
 * of the subclasses; who is above and below, of the host (the link).
 */
import { checkPppOptions, PPP_CODE, sameBytes } from '../../wire/ppp.js';
import type { PppCounters } from './counters.js';

/** RFC 1661 §4.2. */
export const STATE = {
  initial: 0,
  starting: 1,
  closed: 2,
  stopped: 3,
  closing: 4,
  stopping: 5,
  reqSent: 6,
  ackRcvd: 7,
  ackSent: 8,
  opened: 9,
} as const;

/** Why a layer finished: it was closed, the peer was silent or would not agree, or it said that it does not know us. */
export type FinishReason = 'closed' | 'no-answer' | 'no-agreement' | 'rejected';

export interface ControlTimers {
  readonly restart: number;
  readonly maxConfigure: number;
  readonly maxTerminate: number;
  readonly maxFailure: number;
}

/** What the automaton needs from its link. */
export interface ControlHost {
  readonly timers: ControlTimers;
  readonly counters: PppCounters;
  readonly random: (length: number) => Uint8Array;
  send(protocol: number, code: number, id: number, data: Uint8Array): void;
  layerUp(layer: ControlProtocol, now: number): void;
  layerDown(layer: ControlProtocol, now: number): void;
  layerFinished(layer: ControlProtocol, reason: FinishReason, now: number): void;
}

/** What a Configure-Request deserves. */
export const JUDGED = { ack: 0, nak: 1, reject: 2 } as const;

/** Filled by `judge`: options as they go out. Of those that are naked, the peer's own form too. */
export class Verdict {
  readonly naks: number[] = [];
  readonly naked: number[] = [];
  readonly rejects: number[] = [];
  /** There is no use in going on. */
  fatal = false;

  clear(): void {
    this.fatal = false;
    this.naks.length = 0;
    this.naked.length = 0;
    this.rejects.length = 0;
  }

  /** Refuses the option at `at` for good. */
  reject(body: Uint8Array, at: number): void {
    for (let index = at; index < at + body[at + 1]; index++) this.rejects.push(body[index]);
  }

  /** Proposes another value for the option at `at`. */
  nak(body: Uint8Array, at: number, value: ArrayLike<number>): void {
    for (let index = at; index < at + body[at + 1]; index++) this.naked.push(body[index]);
    this.append(body[at], value);
  }

  /** Proposes an option that the peer has not named. */
  append(type: number, value: ArrayLike<number>): void {
    this.naks.push(type, value.length + 2);
    for (let index = 0; index < value.length; index++) this.naks.push(value[index]);
  }
}

/** One for all: nothing of it outlives the handling of one packet. */
const verdict = new Verdict();
const EMPTY = new Uint8Array(0);
/** A repeated request of an open link is taken for one that the network repeated only so many times. */
const REPEATS_ANSWERED = 3;
/** Naks and rejects of ours that are followed in one negotiation, so that two stubborn ends come to an end. */
const CHANGES_LIMIT = 20;
/** Seconds after which a request that nobody has answered was probably said to somebody who did not listen yet. */
const EARLY_AFTER = 0.25;
/** How much of a rejected packet goes back. */
const REJECT_COPY_LIMIT = 1400;

export abstract class ControlProtocol {
  state: number = STATE.initial;
  /** When the restart timer expires, seconds; Infinity: it does not run. */
  deadline = Number.POSITIVE_INFINITY;
  /** Bodies of the last Configure-Request that was sent, and of the last received that was acknowledged. */
  sent: Uint8Array = EMPTY;
  received: Uint8Array = EMPTY;
  nextId: number;
  /** Identifier of the request that waits for its answer, −1 none. */
  #outstanding = -1;
  #acknowledgedId = -1;
  #repeats = 0;
  #restarts = 0;
  #naks = 0;
  #changes = 0;
  /** When the first request of a negotiation was sent, while the peer has said nothing; Infinity: it has. */
  #saidFirst = Number.POSITIVE_INFINITY;

  constructor(
    readonly protocol: number,
    protected readonly host: ControlHost,
    firstId = 1,
  ) {
    this.nextId = firstId;
  }

  /** The options of our next Configure-Request. */
  protected abstract write(out: number[]): void;
  /** Sorts the peer's options into the verdict and remembers what is acceptable. */
  protected abstract judge(body: Uint8Array, verdict: Verdict, naksSent: number): void;
  /** The peer would rather have these values. False: this end cannot live with that. */
  protected abstract follow(body: Uint8Array): boolean;
  /** The peer refuses these options. False: this end cannot do without. */
  protected abstract renounce(body: Uint8Array): boolean;
  /** Our last request is agreed to. False: it is worth nothing. */
  protected abstract agreed(): boolean;
  /** Negotiation begins anew: wishes as they were. */
  protected abstract reset(): void;

  get opened(): boolean {
    return this.state === STATE.opened;
  }

  // --- events from above and below (RFC 1661 §4.3) ---

  lowerUp(now: number): void {
    if (this.state === STATE.initial) this.state = STATE.closed;
    else if (this.state === STATE.starting) this.#begin(STATE.reqSent, now);
  }

  lowerDown(now: number): void {
    this.deadline = Number.POSITIVE_INFINITY;
    this.#outstanding = -1;
    const { state } = this;
    if (state === STATE.closed || state === STATE.closing) this.state = STATE.initial;
    else if (state >= STATE.stopped) this.state = STATE.starting;
    if (state === STATE.opened) this.host.layerDown(this, now);
  }

  open(now: number): void {
    if (this.state === STATE.initial) this.state = STATE.starting;
    else if (this.state === STATE.closed) this.#begin(STATE.reqSent, now);
    else if (this.state === STATE.closing) this.state = STATE.stopping;
  }

  close(now: number): void {
    switch (this.state) {
      case STATE.starting:
        this.state = STATE.initial;
        return;
      case STATE.stopped:
        this.state = STATE.closed;
        return;
      case STATE.stopping:
        this.state = STATE.closing;
        return;
      case STATE.opened:
        this.#terminate(STATE.closing, now);
        this.host.layerDown(this, now);
        return;
      case STATE.reqSent:
      case STATE.ackRcvd:
      case STATE.ackSent:
        this.#terminate(STATE.closing, now);
        return;
    }
  }

  /** Asks for everything anew on an open layer. */
  renegotiate(now: number): void {
    if (this.state !== STATE.opened) return;
    this.#leave(now);
    this.#begin(STATE.reqSent, now);
  }

  /** What the restart timer brings, if it is due. */
  tick(now: number): void {
    if (now < this.deadline) return;
    if (this.#restarts <= 0) {
      const reason: FinishReason =
        this.state === STATE.closing || this.state === STATE.stopping ? 'closed' : 'no-answer';
      return this.#finish(this.state === STATE.closing ? STATE.closed : STATE.stopped, reason, now);
    }
    if (this.state === STATE.closing || this.state === STATE.stopping) return this.#sendTerminate(now);
    if (this.state === STATE.ackRcvd) this.state = STATE.reqSent;
    this.#sendRequest(now);
  }

  /** The peer does not speak this protocol at all (Protocol-Reject). */
  rejected(now: number): void {
    const wasOpen = this.state === STATE.opened;
    const ended = this.state === STATE.closed || this.state === STATE.closing || this.state === STATE.initial;
    this.state = ended ? STATE.closed : STATE.stopped;
    if (wasOpen) this.host.layerDown(this, now);
    this.#finish(this.state, 'rejected', now);
  }

  /** Taken over from another process, or from a LAC: open without a word. */
  adopt(sent: Uint8Array, received: Uint8Array): void {
    this.state = STATE.opened;
    this.sent = sent;
    this.received = received;
    this.#outstanding = -1;
  }

  // --- packets ---

  /** A packet of this protocol. False: its code is not one of the automaton's. */
  receive(code: number, id: number, body: Uint8Array, now: number): boolean {
    switch (code) {
      case PPP_CODE.configureRequest:
        this.#configureRequest(id, body, now);
        return true;
      case PPP_CODE.configureAck:
      case PPP_CODE.configureNak:
      case PPP_CODE.configureReject:
        this.#answered(code, id, body, now);
        return true;
      case PPP_CODE.terminateRequest:
        this.#terminateRequest(id, now);
        return true;
      case PPP_CODE.terminateAck:
        this.#terminateAck(now);
        return true;
      case PPP_CODE.codeReject:
        this.#codeReject(body, now);
        return true;
      default:
        return false;
    }
  }

  /** Says that a code is unknown, with the packet that has it. */
  rejectCode(packet: Uint8Array): void {
    this.host.counters.discard('unknown-code');
    this.host.send(this.protocol, PPP_CODE.codeReject, this.takeId(), packet.slice(0, REJECT_COPY_LIMIT));
  }

  takeId(): number {
    const id = this.nextId;
    this.nextId = (id + 1) & 0xff;
    return id;
  }

  #configureRequest(id: number, body: Uint8Array, now: number): void {
    const { state, host } = this;
    if (state < STATE.closed || state === STATE.closing || state === STATE.stopping) {
      return host.counters.discard('unexpected');
    }
    if (state === STATE.closed) return host.send(this.protocol, PPP_CODE.terminateAck, id, EMPTY);
    if (!checkPppOptions(body)) return host.counters.discard('malformed-option');
    if (state === STATE.opened) {
      // The same request again: our answer was lost, or the network repeated it. Nothing has changed, so that the
      // layers above need not fall; a peer that truly begins anew asks with another identifier or magic number.
      if (id === this.#acknowledgedId && this.#repeats < REPEATS_ANSWERED && sameBytes(body, this.received)) {
        this.#repeats++;
        return host.send(this.protocol, PPP_CODE.configureAck, id, body);
      }
      this.#leave(now);
      this.#begin(STATE.reqSent, now);
    } else if (state === STATE.stopped) this.#begin(STATE.reqSent, now);
    if (now - this.#saidFirst > EARLY_AFTER && this.state === STATE.reqSent) this.#sayAgain(now);
    this.#saidFirst = Number.POSITIVE_INFINITY;
    verdict.clear();
    this.judge(body, verdict, this.#naks);
    if (verdict.fatal) return this.#disagree(now);
    const judged = this.#answer(id, body);
    if (judged !== JUDGED.ack) {
      if (this.state === STATE.ackSent) this.state = STATE.reqSent;
      return;
    }
    this.#naks = 0;
    this.#acknowledgedId = id;
    this.#repeats = 0;
    this.received = body.slice();
    if (this.state === STATE.ackRcvd) this.#opened(now);
    else this.state = STATE.ackSent;
  }

  /**
   * The peer has just begun: what was said before went by it (a pppd is started only when its call stands). Said again, with
   * the same identifier, it spares both the rest of the restart timer; who has had it answers it once more.
   */
  #sayAgain(now: number): void {
    this.deadline = now + this.host.timers.restart;
    this.host.send(this.protocol, PPP_CODE.configureRequest, this.#outstanding, this.sent);
  }

  #answer(id: number, body: Uint8Array): number {
    const { naks, naked, rejects } = verdict;
    // What was naked often enough is refused instead (RFC 1661 §4.6, Max-Failure); options that we only wished for
    // ourselves are no longer asked for.
    if (naks.length > 0 && this.#naks >= this.host.timers.maxFailure) {
      rejects.push(...naked);
      naks.length = 0;
    }
    if (rejects.length > 0) {
      this.host.send(this.protocol, PPP_CODE.configureReject, id, Uint8Array.from(rejects));
      return JUDGED.reject;
    }
    if (naks.length > 0) {
      this.#naks++;
      this.host.send(this.protocol, PPP_CODE.configureNak, id, Uint8Array.from(naks));
      return JUDGED.nak;
    }
    this.host.send(this.protocol, PPP_CODE.configureAck, id, body);
    return JUDGED.ack;
  }

  #answered(code: number, id: number, body: Uint8Array, now: number): void {
    const { state, host } = this;
    if (state === STATE.closed || state === STATE.stopped) {
      return host.send(this.protocol, PPP_CODE.terminateAck, id, EMPTY);
    }
    if (state < STATE.reqSent) return host.counters.discard('unexpected');
    if (id !== this.#outstanding) return host.counters.discard('stale-id');
    if (code === PPP_CODE.configureAck) return this.#acknowledged(body, now);
    if (!checkPppOptions(body)) return host.counters.discard('malformed-option');
    if (code === PPP_CODE.configureReject && !isPartOf(body, this.sent)) return host.counters.discard('wrong-answer');
    this.#outstanding = -1;
    const possible =
      ++this.#changes <= CHANGES_LIMIT && (code === PPP_CODE.configureNak ? this.follow(body) : this.renounce(body));
    if (!possible) return this.#disagree(now);
    if (state === STATE.ackRcvd) this.state = STATE.reqSent;
    this.#restarts = host.timers.maxConfigure;
    this.#sendRequest(now);
  }

  #acknowledged(body: Uint8Array, now: number): void {
    if (!sameBytes(body, this.sent)) return this.host.counters.discard('wrong-answer');
    // From here on no answer is awaited: one that the network repeats is stale.
    this.#outstanding = -1;
    if (!this.agreed()) return this.#disagree(now);
    this.#restarts = this.host.timers.maxConfigure;
    if (this.state === STATE.ackSent) return this.#opened(now);
    this.state = STATE.ackRcvd;
  }

  #disagree(now: number): void {
    this.#terminate(STATE.closing, now);
    this.host.layerFinished(this, 'no-agreement', now);
  }

  #terminateRequest(id: number, now: number): void {
    const { state, host } = this;
    if (state < STATE.closed) return host.counters.discard('unexpected');
    host.send(this.protocol, PPP_CODE.terminateAck, id, EMPTY);
    if (state === STATE.ackRcvd || state === STATE.ackSent) this.state = STATE.reqSent;
    if (state !== STATE.opened) return;
    // One period is left to the peer to have our answer (RFC 1661 §4.4, zrc).
    this.#restarts = 0;
    this.state = STATE.stopping;
    this.deadline = now + host.timers.restart;
    host.layerDown(this, now);
    this.terminatedByPeer(now);
  }

  /** Hook: the peer has closed this open layer. */
  protected terminatedByPeer(_now: number): void {}

  #terminateAck(now: number): void {
    switch (this.state) {
      case STATE.closing:
        return this.#finish(STATE.closed, 'closed', now);
      case STATE.stopping:
        return this.#finish(STATE.stopped, 'closed', now);
      case STATE.ackRcvd:
        this.state = STATE.reqSent;
        return;
      case STATE.opened:
        this.#leave(now);
        this.#begin(STATE.reqSent, now);
        return;
      default:
        this.host.counters.discard('unexpected');
    }
  }

  #codeReject(body: Uint8Array, now: number): void {
    const code = body.length > 0 ? body[0] : 0;
    // A peer that rejects what every implementation must know cannot be talked to (RXJ−); others are done without.
    if (code >= PPP_CODE.configureRequest && code <= PPP_CODE.codeReject) this.rejected(now);
  }

  // --- actions ---

  #begin(state: number, now: number): void {
    this.reset();
    this.#changes = 0;
    this.#naks = 0;
    this.#restarts = this.host.timers.maxConfigure;
    this.state = state;
    this.#saidFirst = now;
    this.#sendRequest(now);
  }

  #opened(now: number): void {
    this.deadline = Number.POSITIVE_INFINITY;
    this.state = STATE.opened;
    this.host.layerUp(this, now);
  }

  /** Leaves the opened state for a new negotiation. */
  #leave(now: number): void {
    this.state = STATE.reqSent;
    this.host.layerDown(this, now);
  }

  #sendRequest(now: number): void {
    const options: number[] = [];
    this.write(options);
    this.sent = Uint8Array.from(options);
    this.#outstanding = this.takeId();
    this.#restarts--;
    this.deadline = now + this.host.timers.restart;
    this.host.send(this.protocol, PPP_CODE.configureRequest, this.#outstanding, this.sent);
  }

  #terminate(state: number, now: number): void {
    this.state = state;
    this.#outstanding = -1;
    this.#restarts = this.host.timers.maxTerminate;
    this.#sendTerminate(now);
  }

  #sendTerminate(now: number): void {
    this.#restarts--;
    this.deadline = now + this.host.timers.restart;
    this.host.send(this.protocol, PPP_CODE.terminateRequest, this.takeId(), EMPTY);
  }

  #finish(state: number, reason: FinishReason, now: number): void {
    this.state = state;
    this.deadline = Number.POSITIVE_INFINITY;
    this.#outstanding = -1;
    this.host.layerFinished(this, reason, now);
  }
}

/** Whether all options of `part` stand in `whole`, unchanged and in this order: what a Configure-Reject must be. */
function isPartOf(part: Uint8Array, whole: Uint8Array): boolean {
  let at = 0;
  let from = 0;
  while (at < part.length) {
    const length = part[at + 1];
    while (from < whole.length && !sameOption(part, at, whole, from, length)) from += whole[from + 1];
    if (from >= whole.length) return false;
    from += length;
    at += length;
  }
  return part.length > 0;
}

function sameOption(a: Uint8Array, at: number, b: Uint8Array, from: number, length: number): boolean {
  for (let index = 0; index < length; index++) if (a[at + index] !== b[from + index]) return false;
  return true;
}
