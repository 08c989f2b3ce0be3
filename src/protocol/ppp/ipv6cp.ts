/** IPv6CP: interface identifiers, RFC 5072 §4.1. Addresses beyond the link-local one are router advertisements' work. */
import { PPP_PROTOCOL, sameBytes } from '../../wire/ppp.js';
import { type ControlHost, ControlProtocol, type Verdict } from './control-protocol.js';

const OPTION_INTERFACE_ID = 1;
const LENGTH = 10;
export const INTERFACE_ID_LENGTH = 8;
export const NO_INTERFACE_ID = new Uint8Array(INTERFACE_ID_LENGTH);
/** "Universal" bit of the first byte: made-up identifiers have it 0 (RFC 5072 §4.1). */
const UNIVERSAL = 0x02;

const isZero = (id: Uint8Array): boolean => sameBytes(id, NO_INTERFACE_ID);

export interface Ipv6cpWishes {
  /** Ours; zero: made up. */
  readonly local: Uint8Array;
  /** Prescribed to the peer; zero: what it asks for. */
  readonly peer: Uint8Array;
}

export class Ipv6cp extends ControlProtocol {
  /** What was agreed on; valid while opened. */
  local: Uint8Array = NO_INTERFACE_ID;
  peer: Uint8Array = NO_INTERFACE_ID;
  wishes: Ipv6cpWishes;
  #id: Uint8Array = NO_INTERFACE_ID;

  constructor(host: ControlHost, wishes: Ipv6cpWishes) {
    super(PPP_PROTOCOL.ipv6cp, host);
    this.wishes = wishes;
  }

  protected override reset(): void {
    this.#id = isZero(this.wishes.local) ? this.#madeUp() : this.wishes.local;
  }

  #madeUp(): Uint8Array {
    const id = this.host.random(INTERFACE_ID_LENGTH).slice();
    id[0] &= ~UNIVERSAL;
    id[7] |= 1; // never zero
    return id;
  }

  protected override write(out: number[]): void {
    out.push(OPTION_INTERFACE_ID, LENGTH, ...this.#id);
  }

  protected override judge(body: Uint8Array, verdict: Verdict, naksSent: number): void {
    const prescribed = this.wishes.peer;
    let named = false;
    for (let at = 0; at < body.length; at += body[at + 1]) {
      if (body[at] !== OPTION_INTERFACE_ID || body[at + 1] !== LENGTH) {
        verdict.reject(body, at);
        continue;
      }
      named = true;
      const id = body.slice(at + 2, at + LENGTH);
      this.peer = id;
      if (!isZero(prescribed)) {
        this.peer = prescribed;
        if (!sameBytes(id, prescribed)) verdict.nak(body, at, prescribed);
      } else if (isZero(id) || sameBytes(id, this.#id)) {
        // Both ends would have one address.
        verdict.nak(body, at, this.#madeUp());
      }
    }
    if (named) return;
    const proposed = isZero(prescribed) ? this.#madeUp() : prescribed;
    if (naksSent < this.host.timers.maxFailure) verdict.append(OPTION_INTERFACE_ID, proposed);
    else verdict.fatal = true;
  }

  protected override follow(body: Uint8Array): boolean {
    for (let at = 0; at < body.length; at += body[at + 1]) {
      if (body[at] !== OPTION_INTERFACE_ID || body[at + 1] !== LENGTH) continue;
      const id = body.slice(at + 2, at + LENGTH);
      this.#id = isZero(id) ? this.#madeUp() : id;
    }
    return true;
  }

  protected override renounce(): boolean {
    return false;
  }

  protected override agreed(): boolean {
    this.local = this.#id;
    return true;
  }

  restore(local: Uint8Array, peer: Uint8Array): void {
    this.#id = local;
    this.local = local;
    this.peer = peer;
  }
}
