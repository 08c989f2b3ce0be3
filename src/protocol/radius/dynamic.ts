/**
 * The other direction of RADIUS (RFC 5176): somebody who has the secret ends a session, or changes its time-outs.
 * Sans-I/O. Times are seconds, monotonic; `epoch` is the Unix time at 0.
 */
import {
  buildResponse,
  isAuthenticRequest,
  messageAuthenticator,
  type RadiusAttribute,
  type RadiusPacket,
  readRadius,
} from '../../wire/radius.js';
import { type AddressWords, formatWords, parseAddress } from '../../wire/address.js';
import { ATTRIBUTE, ERROR_CAUSE, type ErrorCause, RADIUS_CODE } from '../../wire/radius-attributes.js';
import { ipv4Of, ipv6Of, ipv6PrefixOf, numberAttribute, numberOf, textOf } from '../../wire/radius-values.js';
import type { NasIdentity } from './types.js';

/** RFC 5176 §6.3: how far a request's Event-Timestamp may be from our time. */
const TIME_WINDOW = 300;
/** An answer is kept for the repetitions of its request. */
const ANSWER_SECONDS = 30;
const PENDING_LIMIT = 4096;

/** Which session is meant; null: the request does not say. All that it says must fit. */
export interface SessionMatch {
  readonly userName: string | null;
  readonly sessionId: string | null;
  readonly multiSessionId: string | null;
  readonly framedAddress: string | null;
  readonly framedPrefix: string | null;
  readonly nasPort: number | null;
  readonly callingStationId: string | null;
  readonly calledStationId: string | null;
}

export interface DynamicRequest {
  readonly token: number;
  readonly kind: 'disconnect' | 'change';
  readonly match: SessionMatch;
  /** Of a change: new time-outs, seconds. */
  readonly sessionTimeout: number | null;
  readonly idleTimeout: number | null;
  readonly attributes: readonly RadiusAttribute[];
}

export interface DynamicClient {
  readonly words: AddressWords;
  /** Prefix length of 128. */
  readonly length: number;
  readonly secret: Uint8Array;
}

export interface DynamicOptions {
  readonly clients: readonly DynamicClient[];
  readonly nas: NasIdentity;
  readonly epoch: number;
}

export type DynamicDrop =
  | 'malformed'
  | 'code'
  | 'unknown-client'
  | 'authenticator'
  | 'message-authenticator'
  | 'time'
  | 'busy';

interface Pending {
  readonly key: string;
  readonly packet: RadiusPacket;
  readonly secret: Uint8Array;
  readonly address: string;
  readonly port: number;
}

export interface DynamicDatagram {
  readonly address: string;
  readonly port: number;
  readonly bytes: Uint8Array;
}

export class RadiusDynamic {
  readonly counters = {
    requests: 0,
    acknowledged: 0,
    refused: 0,
    repeated: 0,
    drops: {
      malformed: 0,
      code: 0,
      'unknown-client': 0,
      authenticator: 0,
      'message-authenticator': 0,
      time: 0,
      busy: 0,
    } satisfies Record<DynamicDrop, number>,
  };
  readonly #pending = new Map<number, Pending>();
  /** Requests that are known, in the order of their arrival: the answer, or null while there is none. */
  readonly #known = new Map<string, { readonly at: number; bytes: Uint8Array | null }>();
  #token = 0;
  #requests: DynamicRequest[] = [];
  #datagrams: DynamicDatagram[] = [];

  constructor(private readonly options: DynamicOptions) {}

  receive(
    bytes: Uint8Array,
    from: { readonly address: string; readonly port: number },
    now: number,
  ): 'taken' | 'repeated' | DynamicDrop {
    const verdict = this.#receive(bytes, from.address, from.port, now);
    if (verdict === 'repeated') this.counters.repeated++;
    else if (verdict !== 'taken') this.counters.drops[verdict]++;
    return verdict;
  }

  /** Requests that are to be answered. */
  requests(): DynamicRequest[] {
    const requests = this.#requests;
    this.#requests = [];
    return requests;
  }

  /** `done`, or why not. */
  answer(token: number, result: 'done' | ErrorCause): void {
    const pending = this.#pending.get(token);
    if (pending === undefined) return;
    this.#pending.delete(token);
    this.#reply(pending, result);
  }

  output(): DynamicDatagram[] {
    const datagrams = this.#datagrams;
    this.#datagrams = [];
    return datagrams;
  }

  #receive(bytes: Uint8Array, address: string, port: number, now: number): 'taken' | 'repeated' | DynamicDrop {
    const packet = readRadius(bytes);
    if (typeof packet === 'string') return 'malformed';
    const { code, id, authenticator, attributes } = packet;
    if (code !== RADIUS_CODE.disconnectRequest && code !== RADIUS_CODE.coaRequest) return 'code';
    const secret = this.#secretOf(address);
    if (secret === null) return 'unknown-client';
    if (!isAuthenticRequest(bytes, secret)) return 'authenticator';
    if (messageAuthenticator(bytes, null, secret) === 'wrong') return 'message-authenticator';
    this.#forget(now);
    const key = `${address} ${port} ${id} ${authenticator.join('.')}`;
    const known = this.#known.get(key);
    if (known !== undefined) {
      if (known.bytes !== null) this.#datagrams.push({ address, port, bytes: known.bytes });
      return 'repeated';
    }
    const time = first(attributes, ATTRIBUTE.eventTimestamp, numberOf);
    if (time !== null && Math.abs(time - (this.options.epoch + now)) > TIME_WINDOW) return 'time';
    if (this.#known.size >= PENDING_LIMIT) return 'busy';
    this.#known.set(key, { at: now, bytes: null });
    this.counters.requests++;
    // The bytes belong to the caller's buffer; the answer needs the packet later.
    const pending: Pending = {
      key,
      packet: { ...packet, authenticator: authenticator.slice() },
      secret,
      address,
      port,
    };
    const match = matchOf(attributes);
    const refusal = this.#refusalOf(attributes, match);
    if (refusal !== null) {
      this.#reply(pending, refusal);
      return 'taken';
    }
    const token = ++this.#token;
    this.#pending.set(token, pending);
    this.#requests.push({
      token,
      kind: code === RADIUS_CODE.disconnectRequest ? 'disconnect' : 'change',
      match,
      sessionTimeout: first(attributes, ATTRIBUTE.sessionTimeout, numberOf),
      idleTimeout: first(attributes, ATTRIBUTE.idleTimeout, numberOf),
      attributes: attributes.map((one) => ({ ...one, value: one.value.slice() })),
    });
    return 'taken';
  }

  #secretOf(address: string): Uint8Array | null {
    const words = parseAddress(address);
    if (words === null) return null;
    const client = this.options.clients.find((one) => contains(one, words));
    return client?.secret ?? null;
  }

  /** RFC 5176 §3.3: a request that is meant for another NAS, or for no session at all. */
  #refusalOf(attributes: readonly RadiusAttribute[], match: SessionMatch): ErrorCause | null {
    const { identifier, address } = this.options.nas;
    const named = first(attributes, ATTRIBUTE.nasIdentifier, textOf);
    if (named !== null && identifier !== undefined && named !== identifier) return 'nasIdentificationMismatch';
    const place =
      first(attributes, ATTRIBUTE.nasIpAddress, ipv4Of) ?? first(attributes, ATTRIBUTE.nasIpv6Address, ipv6Of);
    if (place !== null && address !== undefined && place !== formatWords(address)) return 'nasIdentificationMismatch';
    return Object.values(match).every((value) => value === null) ? 'missingAttribute' : null;
  }

  #reply({ key, packet, secret, address, port }: Pending, result: 'done' | ErrorCause): void {
    const done = result === 'done';
    this.counters[done ? 'acknowledged' : 'refused']++;
    const disconnect = packet.code === RADIUS_CODE.disconnectRequest;
    const code = disconnect
      ? done
        ? RADIUS_CODE.disconnectAck
        : RADIUS_CODE.disconnectNak
      : done
        ? RADIUS_CODE.coaAck
        : RADIUS_CODE.coaNak;
    const attributes = done ? [] : [numberAttribute(ATTRIBUTE.errorCause, ERROR_CAUSE[result])];
    const bytes = buildResponse({ code, id: packet.id, attributes }, packet.authenticator, secret);
    const known = this.#known.get(key);
    if (known !== undefined) known.bytes = bytes;
    this.#datagrams.push({ address, port, bytes });
  }

  #forget(now: number): void {
    for (const [key, { at }] of this.#known) {
      if (at + ANSWER_SECONDS > now) return;
      this.#known.delete(key);
    }
  }
}

function first<T>(attributes: readonly RadiusAttribute[], type: number, read: (value: Uint8Array) => T): T | null {
  const found = attributes.find((one) => one.type === type && one.vendor === 0);
  return found === undefined ? null : read(found.value);
}

function matchOf(attributes: readonly RadiusAttribute[]): SessionMatch {
  return {
    userName: first(attributes, ATTRIBUTE.userName, textOf),
    sessionId: first(attributes, ATTRIBUTE.acctSessionId, textOf),
    multiSessionId: first(attributes, ATTRIBUTE.acctMultiSessionId, textOf),
    framedAddress:
      first(attributes, ATTRIBUTE.framedIpAddress, ipv4Of) ?? first(attributes, ATTRIBUTE.framedIpv6Address, ipv6Of),
    framedPrefix: first(attributes, ATTRIBUTE.framedIpv6Prefix, ipv6PrefixOf),
    nasPort: first(attributes, ATTRIBUTE.nasPort, numberOf),
    callingStationId: first(attributes, ATTRIBUTE.callingStationId, textOf),
    calledStationId: first(attributes, ATTRIBUTE.calledStationId, textOf),
  };
}

function contains({ words, length }: DynamicClient, address: AddressWords): boolean {
  for (let bit = 0; bit < length; bit += 32) {
    const kept = Math.min(32, length - bit);
    const mask = kept === 32 ? -1 : ~(-1 >>> kept);
    if (((words[bit >> 5] ^ address[bit >> 5]) & mask) !== 0) return false;
  }
  return true;
}
