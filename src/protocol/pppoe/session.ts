/** A PPPoE session, from PADS to PADT. */
import { formatMac } from '../../wire/address.js';
import type { LineIdentity } from '../../wire/pppoe.js';
import type { PppoePort } from './access.js';

export class PppoeSession {
  /** What its owner keeps with it. */
  userData: unknown = null;
  readonly client: string;

  constructor(
    readonly id: number,
    readonly port: PppoePort,
    /** Six bytes. */
    readonly clientMac: Uint8Array,
    /** The name that the client asked for; '' any. */
    readonly service: string,
    /** What the access node said of the line. */
    readonly line: LineIdentity,
    /** Bytes of PPP that a frame may carry, without the protocol field: the greatest MRU (RFC 2516 §7, RFC 4638). */
    readonly maxPayload: number,
    readonly relayId: Uint8Array | null,
    /** Which request it answers; the same again is a repetition. */
    readonly requestKey: string,
  ) {
    this.client = formatMac(clientMac);
  }
}
