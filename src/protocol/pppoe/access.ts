/**
 * A PPPoE access concentrator (RFC 2516, RFC 4638), sans I/O: frames and time in, frames and events out.
 *
 * Nothing is kept for a client before its PADR: the AC-Cookie is an HMAC over where it asked from and when, so a flood of
 * PADI costs answers, which are limited, and no memory. A session exists from PADS to PADT.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { TokenBuckets } from '../../flow/token-bucket.js';
import {
  buildDiscovery,
  buildSession,
  PADI,
  PADO,
  PADR,
  PADS,
  PADT,
  type PppoePacket,
  type PppoeTag,
  readLine,
  readPppoe,
  readTags,
  TAG_AC_COOKIE,
  TAG_AC_NAME,
  TAG_AC_SYSTEM_ERROR,
  TAG_GENERIC_ERROR,
  TAG_HOST_UNIQ,
  TAG_PPP_MAX_PAYLOAD,
  TAG_RELAY_SESSION_ID,
  TAG_SERVICE_NAME,
  TAG_SERVICE_NAME_ERROR,
  TYPE_PPPOE_DISCOVERY,
} from '../../wire/pppoe.js';
import type { PppoeOutcome } from './outcomes.js';
import { PppoeSession } from './session.js';

/** An Ethernet interface that clients are on. */
export interface PppoePort {
  readonly index: number;
  readonly name: string;
  /** Six bytes. */
  readonly mac: Uint8Array;
  /** Bytes of an Ethernet payload. */
  readonly mtu: number;
}

export interface PppoeOptions {
  readonly acName: string;
  /** Service names on offer, in the order of the PADO; '' is the service without a name. */
  readonly services: readonly string[];
  /** Any name that a client asks for is offered to it. */
  readonly anyService: boolean;
  /** Key of the cookies, 32 random bytes. */
  readonly key: Uint8Array;
  /** Sessions at a time, at most 65534. */
  readonly sessionLimit: number;
  /** Of one MAC address. */
  readonly perClient: number;
  /** Requests (PADI and PADR) a second of one MAC address, and of all on one interface. */
  readonly clientRate: { readonly rate: number; readonly burst: number };
  readonly portRate: { readonly rate: number; readonly burst: number };
}

export interface PppoeFrame {
  readonly port: PppoePort;
  readonly bytes: Uint8Array;
}

export type PppoeEvent =
  | { readonly type: 'opened'; readonly session: PppoeSession }
  /** By the client's PADT; `message` is its Generic-Error, if any. */
  | { readonly type: 'closed'; readonly session: PppoeSession; readonly message: string | null };

const SESSION_ID_MAX = 0xfffe; // 0xffff is reserved (RFC 2516 §4)
const COOKIE_SECONDS = 30;
const COOKIE_LENGTH = 17;
const HEADERS = 8; // of PPPoE and PPP
const PLAIN_PAYLOAD = 1492;
const ETHERNET_PAYLOAD = 1500;
/** Error messages of ours; and what is kept of a client's. */
const MESSAGE_LIMIT = 200;
/** PADTs to sessions that do not exist, a second and client. */
const ERRORS = { rate: 2, burst: 4 };
const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class PppoeAccess {
  readonly sessions = new Map<number, PppoeSession>();
  readonly counters = new Map<PppoeOutcome, number>();
  readonly #o: PppoeOptions;
  readonly #services: readonly Uint8Array[];
  readonly #clientRate: TokenBuckets;
  readonly #portRate: TokenBuckets;
  readonly #errorRate = new TokenBuckets(ERRORS);
  /** Sessions of a MAC address. */
  readonly #perClient = new Map<string, number>();
  /** Sessions that have not carried a frame yet, by their request: a repeated PADR gets the same answer. */
  readonly #asked = new Map<string, PppoeSession>();
  #lastId = 0;
  #frames: PppoeFrame[] = [];
  #events: PppoeEvent[] = [];

  constructor(options: PppoeOptions) {
    this.#o = options;
    this.#services = options.services.map((name) => encoder.encode(name));
    this.#clientRate = new TokenBuckets(options.clientRate);
    this.#portRate = new TokenBuckets(options.portRate);
  }

  /** A whole frame, without VLAN tag. What is kept of it is copied. `ppp` gets what a session's frame carries. */
  receive(
    frame: Uint8Array,
    port: PppoePort,
    now: number,
    ppp: (session: PppoeSession, bytes: Uint8Array) => void,
  ): PppoeOutcome {
    const outcome = this.#receive(frame, port, now, ppp);
    this.counters.set(outcome, (this.counters.get(outcome) ?? 0) + 1);
    return outcome;
  }

  #receive(
    frame: Uint8Array,
    port: PppoePort,
    now: number,
    ppp: (session: PppoeSession, bytes: Uint8Array) => void,
  ): PppoeOutcome {
    const packet = readPppoe(frame);
    if (typeof packet === 'string') return 'malformed';
    if ((packet.source[0] & 1) !== 0) return 'source-group';
    const isBroadcast = packet.destination.every((byte) => byte === 0xff);
    const isOurs = sameBytes(packet.destination, port.mac);
    if (!isOurs && !(isBroadcast && packet.code === PADI && packet.etherType === TYPE_PPPOE_DISCOVERY))
      return 'not-for-us';
    if (packet.etherType !== TYPE_PPPOE_DISCOVERY) return this.#data(packet, port, now, ppp);
    if (packet.code === PADT) return this.#padt(packet, port);
    if (packet.code !== PADI && packet.code !== PADR) return 'unexpected-code';
    if (packet.session !== 0) return 'session-id';
    const tags = readTags(packet.payload);
    if (tags === null) return 'malformed';
    const service = tags.find(({ type }) => type === TAG_SERVICE_NAME);
    if (service === undefined) return 'no-service-tag';
    const [high, low] = macWords(packet.source);
    if (!this.#clientRate.take(port.index, 0, high, low, now)) return 'client-rate';
    if (!this.#portRate.take(port.index, 0, 0, 0, now)) return 'port-rate';
    return packet.code === PADI
      ? this.#padi(packet, port, tags, service.value, now)
      : this.#padr(packet, port, tags, service.value, now);
  }

  #padi(
    packet: PppoePacket,
    port: PppoePort,
    tags: readonly PppoeTag[],
    wanted: Uint8Array,
    now: number,
  ): PppoeOutcome {
    if (!this.#offers(wanted)) return 'unknown-service';
    if (this.sessions.size >= this.#o.sessionLimit) return 'session-limit';
    const offered = this.#services.some((name) => sameBytes(name, wanted))
      ? this.#services
      : [wanted, ...this.#services];
    const answer: PppoeTag[] = [
      { type: TAG_AC_NAME, value: encoder.encode(this.#o.acName) },
      // RFC 2516 §5.2: the name that was asked for, and whatever else there is.
      ...offered.map((value) => ({ type: TAG_SERVICE_NAME, value })),
      { type: TAG_AC_COOKIE, value: this.#cookie(packet.source, port, Math.floor(now / COOKIE_SECONDS)) },
      ...echoed(tags),
      ...this.#payloadTag(tags, port),
    ];
    this.#discovery(packet.source, port, PADO, 0, answer);
    return 'padi';
  }

  #padr(
    packet: PppoePacket,
    port: PppoePort,
    tags: readonly PppoeTag[],
    wanted: Uint8Array,
    now: number,
  ): PppoeOutcome {
    const cookie = tags.find(({ type }) => type === TAG_AC_COOKIE)?.value;
    if (cookie === undefined || !this.#isCookie(cookie, packet.source, port, now)) return 'bad-cookie';
    const key = requestKey(packet.source, port, tags);
    const known = this.#asked.get(key);
    if (known !== undefined) {
      this.#pads(known, tags);
      return 'padr-repeated';
    }
    const refuse = (type: number, message: string): void =>
      this.#discovery(packet.source, port, PADS, 0, [
        { type: TAG_SERVICE_NAME, value: wanted },
        { type, value: encoder.encode(message) },
        ...echoed(tags),
      ]);
    if (!this.#offers(wanted)) {
      refuse(TAG_SERVICE_NAME_ERROR, 'no such service');
      return 'unknown-service';
    }
    const mac = macKey(packet.source, port);
    const count = this.#perClient.get(mac) ?? 0;
    if (count >= this.#o.perClient) {
      refuse(TAG_AC_SYSTEM_ERROR, 'too many sessions of this client');
      return 'client-limit';
    }
    const id = this.#freeId();
    if (id === 0) {
      refuse(TAG_AC_SYSTEM_ERROR, 'too many sessions');
      return 'session-limit';
    }
    const session = new PppoeSession(
      id,
      port,
      packet.source.slice(),
      decoder.decode(wanted.slice()),
      readLine(tags),
      this.#maxPayload(tags, port) ?? Math.min(PLAIN_PAYLOAD, port.mtu - HEADERS),
      tags.find(({ type }) => type === TAG_RELAY_SESSION_ID)?.value.slice() ?? null,
      key,
    );
    this.sessions.set(id, session);
    this.#perClient.set(mac, count + 1);
    this.#asked.set(key, session);
    this.#pads(session, tags);
    this.#events.push({ type: 'opened', session });
    return 'padr';
  }

  #pads(session: PppoeSession, tags: readonly PppoeTag[]): void {
    this.#discovery(session.clientMac, session.port, PADS, session.id, [
      { type: TAG_SERVICE_NAME, value: encoder.encode(session.service) },
      ...echoed(tags),
      ...this.#payloadTag(tags, session.port),
    ]);
  }

  #padt(packet: PppoePacket, port: PppoePort): PppoeOutcome {
    const session = this.#find(packet, port);
    if (session === null) return 'unknown-session';
    const error = readTags(packet.payload)?.find(({ type }) => type === TAG_GENERIC_ERROR)?.value;
    this.#remove(session);
    const message = error === undefined ? null : decoder.decode(error.slice(0, MESSAGE_LIMIT));
    this.#events.push({ type: 'closed', session, message });
    return 'padt';
  }

  #data(
    packet: PppoePacket,
    port: PppoePort,
    now: number,
    ppp: (session: PppoeSession, bytes: Uint8Array) => void,
  ): PppoeOutcome {
    if (packet.code !== 0) return 'unexpected-code';
    const session = this.#find(packet, port);
    if (session === null) {
      // The client of a concentrator that was started anew learns so that its session is gone (RFC 2516 §5.5).
      const [high, low] = macWords(packet.source);
      if (packet.session !== 0 && this.#errorRate.take(port.index, 0, high, low, now))
        this.#discovery(packet.source, port, PADT, packet.session, [genericError('no such session')]);
      return 'unknown-session';
    }
    this.spoken(session);
    ppp(session, packet.payload);
    return 'session';
  }

  /** Only the client that a session was given to speaks in it. */
  #find(packet: PppoePacket, port: PppoePort): PppoeSession | null {
    const session = this.sessions.get(packet.session);
    return session !== undefined && session.port.index === port.index && sameBytes(session.clientMac, packet.source)
      ? session
      : null;
  }

  /** The client has used its session: the same request again is another one. */
  spoken(session: PppoeSession): void {
    this.#asked.delete(session.requestKey);
  }

  /** Sends PPP frames, each from its protocol field on. Nothing when the session has ended. */
  send(session: PppoeSession, frames: readonly Uint8Array[]): void {
    if (this.sessions.get(session.id) !== session) return;
    const { port, clientMac, id } = session;
    for (const ppp of frames) this.#frames.push({ port, bytes: buildSession(clientMac, port.mac, id, ppp) });
  }

  /** Ends a session with a PADT, whose Generic-Error says `message` where there is one. */
  end(session: PppoeSession, message: string | null): void {
    if (this.sessions.get(session.id) !== session) return;
    this.#remove(session);
    const relay = session.relayId === null ? [] : [{ type: TAG_RELAY_SESSION_ID, value: session.relayId }];
    const tags = [...(message === null ? [] : [genericError(message)]), ...relay];
    this.#discovery(session.clientMac, session.port, PADT, session.id, tags);
  }

  /** Frames to be sent now. */
  output(): PppoeFrame[] {
    const frames = this.#frames;
    if (frames.length > 0) this.#frames = [];
    return frames;
  }

  /** What has happened since the last call. */
  events(): PppoeEvent[] {
    const events = this.#events;
    if (events.length > 0) this.#events = [];
    return events;
  }

  #remove(session: PppoeSession): void {
    this.sessions.delete(session.id);
    this.#asked.delete(session.requestKey);
    const mac = macKey(session.clientMac, session.port);
    const left = (this.#perClient.get(mac) ?? 1) - 1;
    if (left > 0) this.#perClient.set(mac, left);
    else this.#perClient.delete(mac);
  }

  /** In turn, so that an id comes back as late as can be. 0: none. */
  #freeId(): number {
    if (this.sessions.size >= Math.min(this.#o.sessionLimit, SESSION_ID_MAX)) return 0;
    do this.#lastId = (this.#lastId % SESSION_ID_MAX) + 1;
    while (this.sessions.has(this.#lastId));
    return this.#lastId;
  }

  #offers(wanted: Uint8Array): boolean {
    // The empty name asks for any service (RFC 2516, appendix A).
    return wanted.length === 0 || this.#o.anyService || this.#services.some((name) => sameBytes(name, wanted));
  }

  /** RFC 4638: what both can take, or null when the client asks for nothing beyond RFC 2516. */
  #maxPayload(tags: readonly PppoeTag[], port: PppoePort): number | null {
    const value = tags.find(({ type }) => type === TAG_PPP_MAX_PAYLOAD)?.value;
    if (value?.length !== 2 || port.mtu <= ETHERNET_PAYLOAD) return null;
    const wanted = (value[0] << 8) | value[1];
    return wanted <= PLAIN_PAYLOAD ? null : Math.min(wanted, port.mtu - HEADERS);
  }

  #payloadTag(tags: readonly PppoeTag[], port: PppoePort): PppoeTag[] {
    const max = this.#maxPayload(tags, port);
    return max === null ? [] : [{ type: TAG_PPP_MAX_PAYLOAD, value: Uint8Array.of(max >> 8, max & 0xff) }];
  }

  #cookie(mac: Uint8Array, port: PppoePort, epoch: number): Uint8Array {
    const hmac = createHmac('sha256', this.#o.key);
    hmac.update(`${epoch} ${port.index} `).update(mac.slice());
    const cookie = new Uint8Array(COOKIE_LENGTH);
    cookie[0] = epoch & 0xff;
    cookie.set(hmac.digest().subarray(0, COOKIE_LENGTH - 1), 1);
    return cookie;
  }

  #isCookie(cookie: Uint8Array, mac: Uint8Array, port: PppoePort, now: number): boolean {
    if (cookie.length !== COOKIE_LENGTH) return false;
    const current = Math.floor(now / COOKIE_SECONDS);
    const epoch = [current, current - 1].find((one) => (one & 0xff) === cookie[0]);
    return epoch !== undefined && timingSafeEqual(cookie, this.#cookie(mac, port, epoch));
  }

  #discovery(to: Uint8Array, port: PppoePort, code: number, session: number, tags: readonly PppoeTag[]): void {
    this.#frames.push({ port, bytes: buildDiscovery({ destination: to, source: port.mac, code, session, tags }) });
  }
}

/** What an answer repeats unchanged (RFC 2516, appendix A). */
function echoed(tags: readonly PppoeTag[]): PppoeTag[] {
  return [TAG_HOST_UNIQ, TAG_RELAY_SESSION_ID].flatMap((type) => tags.find((tag) => tag.type === type) ?? []);
}

function genericError(message: string): PppoeTag {
  return { type: TAG_GENERIC_ERROR, value: encoder.encode(message.slice(0, MESSAGE_LIMIT)) };
}

function macWords(mac: Uint8Array): [number, number] {
  return [(mac[0] << 8) | mac[1], (mac[2] << 24) | (mac[3] << 16) | (mac[4] << 8) | mac[5]];
}

function macKey(mac: Uint8Array, port: PppoePort): string {
  return `${port.index} ${mac.join(':')}`;
}

function requestKey(mac: Uint8Array, port: PppoePort, tags: readonly PppoeTag[]): string {
  return `${macKey(mac, port)} ${echoed(tags)
    .map(({ type, value }) => `${type} ${value.join('.')}`)
    .join(' ')}`;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
