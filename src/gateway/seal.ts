/**
 * Sealing and opening of the members' messages: everything carries an HMAC under the group's key. That a message is of
 * now, and no recording, is for members.ts to find; here it is only told whether someone with the key once made it.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import {
  emitGatewayMessage,
  GATEWAY_BODY_LIMIT,
  GATEWAY_HEADER_LENGTH,
  GATEWAY_TAG_LENGTH,
  type GatewayHeader,
  type GatewayMessageType,
  readGatewayHeader,
} from '../wire/gateway-message.js';
import { type Mac, readMac, writeMacNumber } from './mac.js';

/** `flood`: not looked at, since so many others were forged just now. */
export type SealFault = 'malformed' | 'version' | 'other-group' | 'forged' | 'flood';

/** Forged messages a second after which only those are checked that may be of somebody we know. */
const FORGED_LIMIT = 500;

export interface Opened {
  readonly header: GatewayHeader;
  /** A view of the frame: valid as long as that is. */
  readonly body: Uint8Array;
  /** The Ethernet source. */
  readonly source: Mac;
}

export class Seal {
  readonly incarnation: number;
  readonly #key: Uint8Array;
  readonly #group: number;
  readonly #number: number;
  #sequence = 0;
  #second = 0;
  #forged = 0;

  /** `random`: 6 bytes for the incarnation. */
  constructor(key: Uint8Array, group: number, number: number, random: Uint8Array) {
    this.#key = key;
    this.#group = group;
    this.#number = number;
    // 0 is nobody's, so that an entry of zeros never names a member.
    this.incarnation = Math.max(1, readMac(random));
  }

  /** The sequence of the message that was made last. */
  get sequence(): number {
    return this.#sequence;
  }

  /** A frame. Errors: RangeError for a body that is too long. `target` 0: all members. */
  close(type: GatewayMessageType, target: number, body: Uint8Array, source: Mac, destination: Mac): Uint8Array {
    if (body.length > GATEWAY_BODY_LIMIT) throw new RangeError(`a body of ${body.length} bytes fits into no frame`);
    this.#sequence++;
    const frame = emitGatewayMessage(
      {
        type,
        group: this.#group,
        sender: this.#number,
        target,
        incarnation: this.incarnation,
        sequence: this.#sequence,
      },
      body,
    );
    writeMacNumber(frame, 0, destination);
    writeMacNumber(frame, 6, source);
    const end = frame.length - GATEWAY_TAG_LENGTH;
    frame.set(this.#tag(frame.subarray(14, end)), end);
    return frame;
  }

  /**
   * A frame of the EtherType from anybody. `expected`: does the header look as if it were the next message of a member
   * that is proven? To check a seal costs some microseconds, which a flood must not multiply.
   */
  open(frame: Uint8Array, now: number, expected: (header: GatewayHeader) => boolean): Opened | SealFault {
    const read = readGatewayHeader(frame);
    if (typeof read === 'string') return read;
    const { header, end } = read;
    if (header.group !== this.#group) return 'other-group';
    if (Math.floor(now) !== this.#second) {
      this.#second = Math.floor(now);
      this.#forged = 0;
    }
    if (this.#forged >= FORGED_LIMIT && !expected(header)) return 'flood';
    const tag = frame.subarray(end, end + GATEWAY_TAG_LENGTH);
    if (!timingSafeEqual(this.#tag(frame.subarray(14, end)), tag)) {
      this.#forged++;
      return 'forged';
    }
    return { header, body: frame.subarray(14 + GATEWAY_HEADER_LENGTH, end), source: readMac(frame, 6) };
  }

  #tag(bytes: Uint8Array): Uint8Array {
    return createHmac('sha256', this.#key).update(bytes).digest().subarray(0, GATEWAY_TAG_LENGTH);
  }
}
