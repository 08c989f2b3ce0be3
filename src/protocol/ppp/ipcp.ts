/**
 * IPCP: RFC 1332 §3.3 (address), RFC 1877 §1.1 and §1.3 (DNS servers). Header compression (option 2) and the old pair
 * of addresses (option 1) are always refused.
 */
import { PPP_PROTOCOL, sameBytes } from '../../wire/ppp.js';
import { type ControlHost, ControlProtocol, type Verdict } from './control-protocol.js';

const OPTION = { addresses: 1, compression: 2, address: 3, dns1: 129, dns2: 131 } as const;
const LENGTH = 6;
export const NO_ADDRESS = new Uint8Array(4);
/** How often a peer that does not say where it is is told to. */
const ASK_FOR_ADDRESS = 2;
/** How often we insist on our own address before we stop to tell it. */
const INSIST = 3;

const isZero = (address: Uint8Array): boolean => sameBytes(address, NO_ADDRESS);
const valueAt = (body: Uint8Array, at: number): Uint8Array => body.slice(at + 2, at + LENGTH);

export interface IpcpWishes {
  /** Ours; zero: the peer shall say. */
  readonly local: Uint8Array;
  /** The peer's; zero: as it likes. */
  readonly peer: Uint8Array;
  /** Server: what is served. Client: ignored. */
  readonly dns: readonly Uint8Array[];
  /** Client: ask for DNS servers. */
  readonly wantDns: boolean;
  readonly server: boolean;
}

export class Ipcp extends ControlProtocol {
  /** What was agreed on; valid while opened. */
  local: Uint8Array = NO_ADDRESS;
  peer: Uint8Array = NO_ADDRESS;
  dns: Uint8Array[] = [];
  vj: 'not-seen' | 'rejected' = 'not-seen';
  wishes: IpcpWishes;
  #address: Uint8Array = NO_ADDRESS;
  #tellAddress = true;
  #refusals = 0;
  /** What we ask for as a client; null: no longer. */
  #wanted: (Uint8Array | null)[] = [null, null];

  constructor(host: ControlHost, wishes: IpcpWishes) {
    super(PPP_PROTOCOL.ipcp, host);
    this.wishes = wishes;
  }

  protected override reset(): void {
    const { local, server, wantDns } = this.wishes;
    this.#address = local;
    this.#tellAddress = !server || !isZero(local);
    this.#refusals = 0;
    const ask = !server && wantDns ? NO_ADDRESS : null;
    this.#wanted = [ask, ask];
  }

  protected override write(out: number[]): void {
    if (this.#tellAddress) out.push(OPTION.address, LENGTH, ...this.#address);
    if (this.#wanted[0] !== null) out.push(OPTION.dns1, LENGTH, ...this.#wanted[0]);
    if (this.#wanted[1] !== null) out.push(OPTION.dns2, LENGTH, ...this.#wanted[1]);
  }

  protected override judge(body: Uint8Array, verdict: Verdict, naksSent: number): void {
    let named = false;
    let peer: Uint8Array = NO_ADDRESS;
    const dns: Uint8Array[] = [];
    for (let at = 0; at < body.length; at += body[at + 1]) {
      const type = body[at];
      if (body[at + 1] === LENGTH && type === OPTION.address) {
        named = true;
        peer = this.#judgeAddress(body, at, verdict);
      } else if (body[at + 1] === LENGTH && (type === OPTION.dns1 || type === OPTION.dns2)) {
        this.#judgeDns(body, at, type === OPTION.dns1 ? 0 : 1, dns, verdict);
      } else {
        if (type === OPTION.compression) this.vj = 'rejected';
        verdict.reject(body, at);
      }
    }
    const wished = this.wishes.peer;
    if (!named && !isZero(wished)) {
      peer = wished;
      if (naksSent < ASK_FOR_ADDRESS) verdict.append(OPTION.address, wished);
    }
    this.peer = peer;
    if (this.wishes.server) this.dns = dns;
  }

  #judgeAddress(body: Uint8Array, at: number, verdict: Verdict): Uint8Array {
    const address = valueAt(body, at);
    const wished = this.wishes.peer;
    if (isZero(wished)) {
      // It asks us for an address, and we have none to give.
      if (isZero(address)) verdict.reject(body, at);
      return address;
    }
    if (!sameBytes(address, wished)) verdict.nak(body, at, wished);
    return wished;
  }

  #judgeDns(body: Uint8Array, at: number, index: number, dns: Uint8Array[], verdict: Verdict): void {
    const served = this.wishes.server ? this.wishes.dns[index] : undefined;
    if (served === undefined) return verdict.reject(body, at);
    dns.push(served);
    if (!sameBytes(valueAt(body, at), served)) verdict.nak(body, at, served);
  }

  protected override follow(body: Uint8Array): boolean {
    for (let at = 0; at < body.length; at += body[at + 1]) {
      if (body[at + 1] !== LENGTH) continue;
      const value = valueAt(body, at);
      if (body[at] === OPTION.address) {
        if (isZero(this.wishes.local)) this.#address = value;
        // Ours is not the peer's to choose.
        else if (++this.#refusals >= INSIST) this.#tellAddress = false;
      } else if (body[at] === OPTION.dns1 && this.#wanted[0] !== null) this.#wanted[0] = isZero(value) ? null : value;
      else if (body[at] === OPTION.dns2 && this.#wanted[1] !== null) this.#wanted[1] = isZero(value) ? null : value;
    }
    return true;
  }

  protected override renounce(body: Uint8Array): boolean {
    for (let at = 0; at < body.length; at += body[at + 1]) {
      if (body[at] === OPTION.address) {
        // A client without an address has nothing from this link.
        if (isZero(this.wishes.local)) return false;
        this.#tellAddress = false;
      } else if (body[at] === OPTION.dns1) this.#wanted[0] = null;
      else if (body[at] === OPTION.dns2) this.#wanted[1] = null;
    }
    return true;
  }

  protected override agreed(): boolean {
    if (!this.wishes.server) {
      if (isZero(this.#address)) return false;
      this.dns = this.#wanted.filter((server) => server !== null && !isZero(server)) as Uint8Array[];
    }
    this.local = this.#address;
    return true;
  }

  restore(local: Uint8Array, peer: Uint8Array, dns: readonly Uint8Array[], vj: 'not-seen' | 'rejected'): void {
    this.reset();
    this.local = local;
    this.peer = peer;
    this.dns = [...dns];
    this.vj = vj;
    this.#address = local;
  }
}
