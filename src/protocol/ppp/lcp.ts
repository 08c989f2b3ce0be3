/** LCP's options (RFC 1661 §6, RFC 1662 §7.1), and the packets that only LCP has. */
import { checkPppOptions, PPP_CODE, PPP_PROTOCOL, pppU16, pppU32 } from '../../wire/ppp.js';
import { type ControlHost, ControlProtocol, Verdict } from './control-protocol.js';
import type { LcpValues, PppEndReason } from './events.js';
import { METHOD_OPTION, methodOfOption } from './methods.js';
import type { AuthMethod, PppOptions } from './options.js';

const OPTION = { mru: 1, accm: 2, auth: 3, magic: 5, pfc: 7, acfc: 8 } as const;
export const DEFAULT_MRU = 1500;
const DEFAULT_MRU_MIN = 128;
const DEFAULT_ACCM = 0xffffffff;
/** So many meetings with our own magic number are no accident (RFC 1661 §6.4). */
const LOOPS_LIMIT = 5;
const MAGIC_LENGTH = 4;

export function freshValues(): LcpValues {
  return { mru: DEFAULT_MRU, accm: DEFAULT_ACCM, magic: 0, pfc: false, acfc: false, auth: null };
}

const u16 = (value: number): number[] => [value >> 8, value & 0xff];
const u32 = (value: number): number[] => [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];

/** What an LCP of these options asks for and insists on. */
export function requiredOf({ lcp, authenticate }: PppOptions): {
  mru: number;
  mruMin: number;
  authenticate: readonly AuthMethod[];
} {
  return { mru: lcp?.mru ?? DEFAULT_MRU, mruMin: lcp?.mruMin ?? DEFAULT_MRU_MIN, authenticate };
}

export class Lcp extends ControlProtocol {
  /** What was agreed on, for each receiving side; valid while opened. */
  local: LcpValues = freshValues();
  peer: LcpValues = freshValues();
  /** Why there is no agreement. */
  failure: PppEndReason = 'no-agreement';
  /** The first Configure-Request's options, kept when a LAC has to tell of them. */
  initialReceived: Uint8Array | null = null;
  /** What we ask for now; becomes `local`. */
  #wish: LcpValues = freshValues();
  #loops = 0;
  /** Methods that the peer has refused, one bit each by their place in our list. */
  #refused = 0;
  readonly #o: PppOptions;

  constructor(host: ControlHost, options: PppOptions) {
    super(PPP_PROTOCOL.lcp, host);
    this.#o = options;
  }

  protected override reset(): void {
    const { lcp, authenticate } = this.#o;
    this.#refused = 0;
    this.failure = 'no-agreement';
    this.#wish = {
      mru: lcp?.mru ?? DEFAULT_MRU,
      accm: lcp?.accm ?? DEFAULT_ACCM,
      magic: lcp?.magic === false ? 0 : this.#newMagic(),
      pfc: lcp?.offerPfc === true,
      acfc: lcp?.offerAcfc === true,
      auth: authenticate.length > 0 ? authenticate[0] : null,
    };
  }

  #newMagic(): number {
    return pppU32(this.host.random(MAGIC_LENGTH), 0) || 1;
  }

  protected override write(out: number[]): void {
    const { mru, accm, magic, pfc, acfc, auth } = this.#wish;
    if (mru !== DEFAULT_MRU) out.push(OPTION.mru, 4, ...u16(mru));
    if (accm !== DEFAULT_ACCM) out.push(OPTION.accm, 6, ...u32(accm));
    if (auth !== null) out.push(OPTION.auth, METHOD_OPTION[auth].length + 2, ...METHOD_OPTION[auth]);
    if (magic !== 0) out.push(OPTION.magic, 6, ...u32(magic));
    if (pfc) out.push(OPTION.pfc, 2);
    if (acfc) out.push(OPTION.acfc, 2);
  }

  protected override judge(body: Uint8Array, verdict: Verdict, _naksSent: number): void {
    if (this.#o.network === 'none') this.initialReceived ??= body.slice();
    const peer = freshValues();
    for (let at = 0; at < body.length; at += body[at + 1]) this.#judgeOption(body, at, peer, verdict);
    this.peer = peer;
  }

  #judgeOption(body: Uint8Array, at: number, peer: LcpValues, verdict: Verdict): void {
    const length = body[at + 1];
    const { lcp, credentials, network } = this.#o;
    switch (body[at]) {
      case OPTION.mru: {
        if (length !== 4) return verdict.reject(body, at);
        const least = lcp?.mruMin ?? DEFAULT_MRU_MIN;
        peer.mru = pppU16(body, at + 2);
        if (peer.mru < least) verdict.nak(body, at, u16(least));
        return;
      }
      case OPTION.accm:
        if (length !== 6) return verdict.reject(body, at);
        peer.accm = pppU32(body, at + 2);
        return;
      case OPTION.auth:
        if (credentials === undefined || credentials.methods.length === 0 || network === 'none') {
          return verdict.reject(body, at);
        }
        peer.auth = methodOfOption(body, at);
        if (peer.auth === null || !credentials.methods.includes(peer.auth)) {
          verdict.nak(body, at, METHOD_OPTION[credentials.methods[0]]);
        }
        return;
      case OPTION.magic:
        if (length !== 6) return verdict.reject(body, at);
        peer.magic = pppU32(body, at + 2);
        if (peer.magic !== 0 && peer.magic !== this.#wish.magic) return;
        // Zero is no magic number; our own one may be our own words coming back.
        if (peer.magic !== 0 && this.#looped()) verdict.fatal = true;
        return verdict.nak(body, at, u32(this.#newMagic()));
      case OPTION.pfc:
        if (length !== 2 || lcp?.acceptPfc === false) return verdict.reject(body, at);
        peer.pfc = true;
        return;
      case OPTION.acfc:
        if (length !== 2 || lcp?.acceptAcfc === false) return verdict.reject(body, at);
        peer.acfc = true;
        return;
      default:
        verdict.reject(body, at);
    }
  }

  #looped(): boolean {
    this.host.counters.discard('looped-back');
    if (++this.#loops < LOOPS_LIMIT) return false;
    this.failure = 'loopback';
    return true;
  }

  protected override follow(body: Uint8Array): boolean {
    const wish = this.#wish;
    for (let at = 0; at < body.length; at += body[at + 1]) {
      const length = body[at + 1];
      switch (body[at]) {
        case OPTION.mru:
          // Ours is the most that we can take: less is possible, more is not.
          if (length === 4 && pppU16(body, at + 2) < wish.mru)
            wish.mru = Math.max(pppU16(body, at + 2), DEFAULT_MRU_MIN);
          break;
        case OPTION.accm:
          if (length === 6) wish.accm = (pppU32(body, at + 2) | (this.#o.lcp?.accm ?? 0)) >>> 0;
          break;
        case OPTION.auth:
          if (wish.auth !== null && !this.#chooseMethod(methodOfOption(body, at))) return false;
          break;
        case OPTION.magic:
          if (wish.magic !== 0) wish.magic = this.#newMagic();
          break;
      }
    }
    return true;
  }

  /** The peer's own proposal when it is on our list, else the next one that it has not refused. */
  #chooseMethod(proposed: AuthMethod | null): boolean {
    const methods = this.#o.authenticate;
    this.#refused |= 1 << methods.indexOf(this.#wish.auth as AuthMethod);
    const free = methods.filter((_, index) => (this.#refused & (1 << index)) === 0);
    if (free.length === 0) {
      this.failure = 'authentication-refused';
      return false;
    }
    this.#wish.auth = proposed !== null && free.includes(proposed) ? proposed : free[0];
    return true;
  }

  protected override renounce(body: Uint8Array): boolean {
    const wish = this.#wish;
    for (let at = 0; at < body.length; at += body[at + 1]) {
      switch (body[at]) {
        case OPTION.mru:
          wish.mru = DEFAULT_MRU;
          break;
        case OPTION.accm:
          wish.accm = DEFAULT_ACCM;
          break;
        case OPTION.auth:
          this.failure = 'authentication-refused';
          return false;
        case OPTION.magic:
          wish.magic = 0;
          break;
        case OPTION.pfc:
          wish.pfc = false;
          break;
        case OPTION.acfc:
          wish.acfc = false;
          break;
      }
    }
    return true;
  }

  protected override agreed(): boolean {
    this.local = { ...this.#wish };
    return true;
  }

  /**
   * Takes what a LAC has negotiated for us, RFC 2661 §4.4.5. False when that does not satisfy our own options: then it
   * has to be negotiated anew, and nothing has changed.
   */
  takeProxy(lastSent: Uint8Array, lastReceived: Uint8Array): boolean {
    if (!checkPppOptions(lastSent) || !checkPppOptions(lastReceived)) return false;
    const verdict = new Verdict();
    const peer = freshValues();
    for (let at = 0; at < lastReceived.length; at += lastReceived[at + 1]) {
      this.#judgeOption(lastReceived, at, peer, verdict);
    }
    const local = this.#readOwn(lastSent);
    if (local === null || verdict.fatal || verdict.naks.length > 0 || verdict.rejects.length > 0) return false;
    const { mru, authenticate } = requiredOf(this.#o);
    // The client may send what the LAC allowed it; nobody can take more than we can.
    if (local.mru > Math.max(mru, DEFAULT_MRU)) return false;
    if (authenticate.length > 0 && (local.auth === null || !authenticate.includes(local.auth))) return false;
    this.restore(local, peer, lastSent, lastReceived);
    return true;
  }

  /** What a LAC has asked in our name; null when we would not ask that. */
  #readOwn(body: Uint8Array): LcpValues | null {
    const own = freshValues();
    for (let at = 0; at < body.length; at += body[at + 1]) {
      const length = body[at + 1];
      if (body[at] === OPTION.mru && length === 4) own.mru = pppU16(body, at + 2);
      else if (body[at] === OPTION.accm && length === 6) own.accm = pppU32(body, at + 2);
      else if (body[at] === OPTION.magic && length === 6) own.magic = pppU32(body, at + 2);
      else if (body[at] === OPTION.pfc && length === 2) own.pfc = true;
      else if (body[at] === OPTION.acfc && length === 2) own.acfc = true;
      else if (body[at] === OPTION.auth && methodOfOption(body, at) !== null) own.auth = methodOfOption(body, at);
      else return null;
    }
    return own;
  }

  restore(local: LcpValues, peer: LcpValues, sent: Uint8Array, received: Uint8Array): void {
    this.reset();
    this.local = { ...local };
    this.#wish = { ...local };
    this.peer = { ...peer };
    this.adopt(sent, received);
  }

  /** A packet whose code only LCP has. False: not even LCP knows it. */
  receiveOther(code: number, id: number, body: Uint8Array): boolean {
    switch (code) {
      case PPP_CODE.echoRequest:
        this.#echo(id, body);
        return true;
      case PPP_CODE.echoReply:
      case PPP_CODE.discardRequest:
      case PPP_CODE.identification:
      case PPP_CODE.timeRemaining:
        return true;
      default:
        return false;
    }
  }

  #echo(id: number, body: Uint8Array): void {
    const { counters } = this.host;
    if (!this.opened) return counters.discard('unexpected');
    if (body.length < MAGIC_LENGTH) return counters.discard('truncated');
    const { magic } = this.local;
    if (magic !== 0 && pppU32(body, 0) === magic) return counters.discard('looped-back');
    const reply = body.slice();
    reply.set(u32(magic), 0);
    this.host.send(this.protocol, PPP_CODE.echoReply, id, reply);
  }

  sendEcho(): void {
    this.host.send(this.protocol, PPP_CODE.echoRequest, this.takeId(), Uint8Array.from(u32(this.local.magic)));
  }

  protected override terminatedByPeer(now: number): void {
    this.onPeerEnd?.(now);
  }

  /** Told when the peer has ended the link in order. */
  onPeerEnd: ((now: number) => void) | null = null;
}
