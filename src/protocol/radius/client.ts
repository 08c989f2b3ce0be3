/**
 * The RADIUS client (RFC 2865, RFC 2866, RFC 2868; fail-over and repetition after RFC 5080 §2.2.1). Sans-I/O: requests,
 * datagrams and time in; datagrams, events and `nextTime` out. Times are seconds that never go backwards.
 *
 * A request goes to the first server that answers; one that keeps silent is left out for its dead time, and whatever it
 * owed goes to the next. Accounting records are kept until a server has taken them or their lifetime is over.
 */
import {
  type RadiusAttribute,
  buildAccessRequest,
  buildDigestRequest,
  fitsRadius,
  isAuthenticResponse,
  messageAuthenticator,
  type RadiusPacket,
  readRadius,
} from '../../wire/radius.js';
import { ATTRIBUTE, RADIUS_CODE } from '../../wire/radius-attributes.js';
import { numberAttribute } from '../../wire/radius-values.js';
import { accessAttributes, accountingAttributes, areSendable } from './attributes.js';
import { type QueuedRecord, RecordQueue } from './record-queue.js';
import { readReply } from './reply.js';
import { idOf, type RadiusServerRow, ServerState, socketOf } from './server-state.js';
import type {
  AccessRequest,
  AccountingRecord,
  RadiusClientOptions,
  RadiusDatagram,
  RadiusEvent,
  RadiusKind,
  RadiusLimits,
} from './types.js';

const AUTHENTICATOR_LENGTH = 16;
/** How long an access request waits for an identifier: a PPP peer has given up by then. */
const WAITING_SECONDS = 10;
/** Repetitions are spread by so much, lest a server that comes back be met by all at once. */
const JITTER = 0.1;
/** Records that cannot be sent now are looked at so often. */
const RECORD_CHECK_SECONDS = 1;
const ANSWERS: Readonly<Record<number, RadiusKind>> = {
  [RADIUS_CODE.accessAccept]: 'authentication',
  [RADIUS_CODE.accessReject]: 'authentication',
  [RADIUS_CODE.accessChallenge]: 'authentication',
  [RADIUS_CODE.accountingResponse]: 'accounting',
};

/** Why a datagram was not taken. */
export type RadiusDrop =
  | 'malformed'
  | 'code'
  | 'unknown-server'
  | 'unknown-id'
  | 'authenticator'
  | 'message-authenticator';

interface Flight {
  /** 0: an accounting record. */
  readonly token: number;
  readonly access: AccessRequest | null;
  readonly entry: QueuedRecord | null;
  readonly tried: Set<ServerState<Flight>>;
  server: ServerState<Flight>;
  slot: number;
  authenticator: Uint8Array;
  bytes: Uint8Array;
  /** Acct-Delay-Time that stands in the bytes. */
  delay: number;
  tries: number;
  wait: number;
  at: number;
  /** First sent to this server. */
  sentAt: number;
}

interface Waiting {
  readonly token: number;
  readonly access: AccessRequest;
  readonly tried: Set<ServerState<Flight>>;
  /** When it began to wait. */
  readonly since: number;
}

export class RadiusClient {
  /** How often each limit or fault was met. */
  readonly counters = {
    accepted: 0,
    rejected: 0,
    noAnswer: 0,
    waited: 0,
    busy: 0,
    unsendable: 0,
    recordsTaken: 0,
    recordsLost: 0,
    unreadableAttributes: 0,
    drops: {
      malformed: 0,
      code: 0,
      'unknown-server': 0,
      'unknown-id': 0,
      authenticator: 0,
      'message-authenticator': 0,
    } satisfies Record<RadiusDrop, number>,
  };
  readonly #o: RadiusClientOptions;
  readonly #limits: RadiusLimits;
  readonly #firstWait: number;
  readonly #longestWait: number;
  readonly #tries: number;
  readonly #deadTime: number;
  readonly #lifetime: number;
  readonly #servers: Readonly<Record<RadiusKind, readonly ServerState<Flight>[]>>;
  readonly #byPlace = new Map<string, ServerState<Flight>>();
  readonly #flights = new Map<number, Flight>();
  readonly #records: RecordQueue;
  #waiting: Waiting[] = [];
  #recordFlights = 0;
  #token = 0;
  #next = Number.POSITIVE_INFINITY;
  #datagrams: RadiusDatagram[] = [];
  #events: RadiusEvent[] = [];

  constructor(options: RadiusClientOptions) {
    this.#o = options;
    this.#limits = { sockets: 16, queue: 4096, records: 50_000, accountingFlights: 1024, ...options.limits };
    this.#firstWait = options.firstWait ?? 1;
    this.#longestWait = options.longestWait ?? 4;
    this.#tries = options.tries ?? 3;
    this.#deadTime = options.deadTime ?? 30;
    this.#lifetime = options.recordLifetime ?? 3600;
    const states = (kind: RadiusKind): ServerState<Flight>[] =>
      options[kind].map((server) => new ServerState<Flight>(kind, server, this.#limits.sockets));
    this.#servers = { authentication: states('authentication'), accounting: states('accounting') };
    for (const server of [...this.#servers.authentication, ...this.#servers.accounting])
      this.#byPlace.set(placeOf(server.kind, server.address, server.options.port), server);
    this.#records = new RecordQueue(this.#limits.records);
  }

  /** Asks for a user. The answer is an event with this token. */
  access(access: AccessRequest, now: number): number {
    const token = ++this.#token;
    if (!areSendable(access.credentials)) {
      this.counters.unsendable++;
      this.#unanswered(token, 'unsendable');
    } else if (this.#servers.authentication.length === 0) this.#unanswered(token, 'no-server');
    else this.#askOrWait({ token, access, tried: new Set(), since: now }, now);
    return token;
  }

  /** Nobody wants the answer any more; no event comes. */
  cancel(token: number): void {
    const flight = this.#flights.get(token);
    if (flight !== undefined) this.#end(flight);
    else this.#waiting = this.#waiting.filter((waiting) => waiting.token !== token);
  }

  /** Tells the accounting servers; without one nothing happens. */
  account(record: AccountingRecord, now: number): void {
    if (this.#servers.accounting.length === 0) return;
    const lost = this.#records.push(record, now);
    if (lost !== null) this.#recordLost(lost, 'queue-full');
    this.#pump(now);
  }

  /** Records that no server has taken yet. */
  get pendingRecords(): number {
    return this.#records.count + this.#recordFlights;
  }

  /** When `output` wants to be called, at the latest. */
  get nextTime(): number {
    return this.#datagrams.length > 0 ? Number.NEGATIVE_INFINITY : this.#next;
  }

  /** What came to one of our sockets, from whom. */
  receive(
    bytes: Uint8Array,
    from: { readonly socket: number; readonly address: string; readonly port: number },
    now: number,
  ): 'taken' | RadiusDrop {
    const verdict = this.#receive(bytes, from, now);
    if (verdict !== 'taken') this.counters.drops[verdict]++;
    return verdict;
  }

  /** Datagrams to be sent now; repetitions that are due are among them. */
  output(now: number): RadiusDatagram[] {
    if (now >= this.#next) this.#tick(now);
    const datagrams = this.#datagrams;
    this.#datagrams = [];
    return datagrams;
  }

  events(): RadiusEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  servers(): RadiusServerRow[] {
    return [...this.#servers.authentication, ...this.#servers.accounting].map((server) => server.row());
  }

  #receive(
    bytes: Uint8Array,
    { socket, address, port }: { readonly socket: number; readonly address: string; readonly port: number },
    now: number,
  ): 'taken' | RadiusDrop {
    const packet = readRadius(bytes);
    if (typeof packet === 'string') return 'malformed';
    const kind = ANSWERS[packet.code];
    if (kind === undefined) return 'code';
    const server = this.#byPlace.get(placeOf(kind, address, port));
    if (server === undefined) return 'unknown-server';
    const flight = server.flightOf(socket, packet.id);
    if (flight === null) return 'unknown-id';
    const { secret } = server.options;
    if (!isAuthenticResponse(bytes, flight.authenticator, secret)) return 'authenticator';
    if (kind === 'authentication' && !this.#isSigned(bytes, flight, server)) return 'message-authenticator';
    this.#heard(server, now);
    this.#end(flight);
    if (flight.entry !== null) this.counters.recordsTaken++;
    else this.#answered(flight, packet, server);
    this.#pump(now);
    return 'taken';
  }

  #isSigned(bytes: Uint8Array, flight: Flight, server: ServerState<Flight>): boolean {
    const policy = this.#o.messageAuthenticator ?? 'auto';
    const found = messageAuthenticator(bytes, flight.authenticator, server.options.secret);
    if (found === 'valid') server.signs = true;
    return found === 'valid' || (found === 'absent' && (policy === 'ignore' || (policy === 'auto' && !server.signs)));
  }

  #answered(flight: Flight, packet: RadiusPacket, server: ServerState<Flight>): void {
    const reply = readReply(packet, flight.authenticator, server.options.secret);
    this.counters.unreadableAttributes += reply.unreadable;
    // Who cannot do challenges takes one for a rejection (RFC 2865 §4.4).
    const type = packet.code === RADIUS_CODE.accessAccept ? 'accepted' : 'rejected';
    this.counters[type]++;
    this.#events.push({ type, token: flight.token, server: server.options.name, reply });
  }

  #heard(server: ServerState<Flight>, now: number): void {
    server.answers++;
    server.heardAt = now;
    if (!server.dead) return;
    server.dead = false;
    server.probe = null;
    this.#events.push({ type: 'server', server: server.options.name, kind: server.kind, state: 'up' });
  }

  /** The request to the best server that it was not yet sent to; false: all identifiers there are taken. */
  #ask({ token, access, tried }: Waiting, now: number): boolean {
    const server = this.#choose('authentication', tried, now);
    if (server === null) {
      this.#unanswered(token, 'timeout');
      return true;
    }
    return this.#launch(server, { token, access, entry: null, tried }, now);
  }

  /** With every server dead the one that was dead longest is asked all the same: the user waits. */
  #choose(kind: RadiusKind, tried: ReadonlySet<ServerState<Flight>>, now: number): ServerState<Flight> | null {
    const servers = this.#servers[kind];
    const usable = servers.find((server) => !tried.has(server) && server.isUsable(now));
    if (usable !== undefined || kind === 'accounting' || tried.size > 0) return usable ?? null;
    return servers.reduce((best, server) => (server.deadUntil < best.deadUntil ? server : best));
  }

  #launch(
    server: ServerState<Flight>,
    what: Pick<Flight, 'token' | 'access' | 'entry' | 'tried'>,
    now: number,
  ): boolean {
    const flight: Flight = {
      ...what,
      server,
      slot: -1,
      authenticator: NOTHING,
      bytes: NOTHING,
      delay: 0,
      tries: 0,
      wait: this.#firstWait,
      at: 0,
      sentAt: now,
    };
    flight.slot = server.take(flight);
    if (flight.slot < 0) return false;
    flight.tried.add(server);
    if (!this.#build(flight, now)) {
      server.free(flight.slot, flight);
      this.counters.unsendable++;
      if (flight.entry === null) this.#unanswered(flight.token, 'unsendable');
      else this.#recordLost(flight.entry.record, 'unsendable');
      return true;
    }
    if (server.dead && now >= server.deadUntil) server.probe = flight;
    if (flight.entry === null) this.#flights.set(flight.token, flight);
    else this.#recordFlights++;
    server.requests++;
    this.#send(flight, now);
    return true;
  }

  /** False: it does not fit into a packet. */
  #build(flight: Flight, now: number): boolean {
    const { access, entry, server, slot } = flight;
    const { secret } = server.options;
    const id = idOf(slot);
    if (access !== null) {
      const authenticator = this.#o.random(AUTHENTICATOR_LENGTH);
      const attributes = accessAttributes(access, this.#o.nas, authenticator, secret);
      if (!fitsRadius(attributes)) return false;
      flight.authenticator = authenticator;
      flight.bytes = buildAccessRequest({ id, attributes }, authenticator, secret);
      return true;
    }
    if (entry === null) return false;
    flight.delay = Math.floor(now - entry.bornAt);
    const attributes = [...accountingAttributes(entry.record, this.#o.nas), ...this.#times(entry, flight.delay)];
    if (!fitsRadius(attributes)) return false;
    flight.bytes = buildDigestRequest({ code: RADIUS_CODE.accountingRequest, id, attributes }, secret);
    flight.authenticator = flight.bytes.subarray(4, 4 + AUTHENTICATOR_LENGTH);
    return true;
  }

  #times(entry: QueuedRecord, delay: number): RadiusAttribute[] {
    const attributes = [numberAttribute(ATTRIBUTE.acctDelayTime, delay)];
    const { epoch } = this.#o;
    if (epoch !== undefined)
      attributes.push(numberAttribute(ATTRIBUTE.eventTimestamp, Math.floor(epoch + entry.bornAt)));
    return attributes;
  }

  #send(flight: Flight, now: number): void {
    const { server, slot, bytes } = flight;
    flight.tries++;
    flight.at = now + flight.wait * (1 + (this.#o.random(1)[0] / 255 - 0.5) * 2 * JITTER);
    flight.wait = Math.min(flight.wait * 2, this.#longestWait);
    this.#wakeAt(flight.at);
    this.#datagrams.push({ socket: socketOf(slot), address: server.address, port: server.options.port, bytes });
  }

  #end(flight: Flight): void {
    flight.server.free(flight.slot, flight);
    if (flight.entry === null) this.#flights.delete(flight.token);
    else this.#recordFlights--;
  }

  #tick(now: number): void {
    // A server that is declared dead in this very loop has given its flights away.
    for (const server of [...this.#servers.authentication, ...this.#servers.accounting])
      for (const flight of [...server.flights])
        if (flight.at <= now && server.flights.has(flight)) this.#late(flight, now);
    const expired = this.#waiting.filter(({ since }) => since + WAITING_SECONDS <= now);
    for (const { token } of expired) this.#unanswered(token, 'timeout');
    if (expired.length > 0) this.#waiting = this.#waiting.slice(expired.length);
    this.#pump(now);
    this.#next = this.#earliest(now);
  }

  #earliest(now: number): number {
    let next = Number.POSITIVE_INFINITY;
    for (const server of [...this.#servers.authentication, ...this.#servers.accounting])
      for (const { at } of server.flights) next = Math.min(next, at);
    if (this.#waiting.length > 0) next = Math.min(next, this.#waiting[0].since + WAITING_SECONDS);
    if (this.#records.count > 0) next = Math.min(next, now + RECORD_CHECK_SECONDS);
    return next;
  }

  #late(flight: Flight, now: number): void {
    const { server } = flight;
    const tries = server.probe === flight ? 1 : this.#tries;
    if (flight.tries < tries) {
      server.repetitions++;
      this.#repeat(flight, now);
      return;
    }
    server.timeouts++;
    const silent = server.heardAt < flight.sentAt;
    this.#moveOn(flight, now);
    if (silent) this.#declareDead(server, now);
  }

  /** Another Acct-Delay-Time is another packet: it needs an identifier of its own (RFC 2866 §5.2). */
  #repeat(flight: Flight, now: number): void {
    const { entry, server } = flight;
    if (entry !== null && Math.floor(now - entry.bornAt) !== flight.delay) {
      const { probe } = server;
      server.free(flight.slot, flight);
      flight.slot = server.take(flight);
      server.probe = probe;
      this.#build(flight, now);
    }
    this.#send(flight, now);
  }

  #declareDead(server: ServerState<Flight>, now: number): void {
    const wasDead = server.dead;
    server.dead = true;
    server.deadUntil = now + this.#deadTime;
    if (wasDead) return;
    this.#events.push({ type: 'server', server: server.options.name, kind: server.kind, state: 'down' });
    const others = this.#servers[server.kind].some((other) => other !== server && other.isUsable(now));
    if (others) for (const flight of [...server.flights]) this.#moveOn(flight, now);
  }

  /** To the next server; none: the user learns that, the record waits. */
  #moveOn(flight: Flight, now: number): void {
    const { token, access, entry, tried } = flight;
    this.#end(flight);
    if (access !== null) {
      this.#askOrWait({ token, access, tried, since: now }, now);
      return;
    }
    if (entry === null) return;
    const next = this.#choose('accounting', tried, now);
    if (next !== null && this.#launch(next, { token, access, entry, tried }, now)) return;
    this.#records.putBack(entry, now + Math.min(this.#deadTime, this.#longestWait));
    this.#wakeAt(now + RECORD_CHECK_SECONDS);
  }

  #askOrWait(waiting: Waiting, now: number): void {
    if (this.#ask(waiting, now)) return;
    if (this.#waiting.length >= this.#limits.queue) {
      this.counters.busy++;
      this.#unanswered(waiting.token, 'busy');
      return;
    }
    this.counters.waited++;
    this.#waiting.push(waiting);
    this.#wakeAt(now + WAITING_SECONDS);
  }

  /** Whatever waits and can go now. */
  #pump(now: number): void {
    while (this.#waiting.length > 0 && this.#ask(this.#waiting[0], now)) this.#waiting.shift();
    while (this.#records.count > 0 && this.#recordFlights < this.#limits.accountingFlights) {
      const server = this.#choose('accounting', NO_SERVERS, now);
      if (server === null) break;
      const entry = this.#records.take(now);
      if (entry === null) break;
      if (now - entry.bornAt > this.#lifetime) this.#recordLost(entry.record, 'lifetime');
      else if (!this.#launch(server, { token: 0, access: null, entry, tried: new Set() }, now)) {
        this.#records.putBack(entry, 0);
        break;
      }
    }
    if (this.#records.count > 0) this.#wakeAt(now + RECORD_CHECK_SECONDS);
  }

  #wakeAt(time: number): void {
    if (time < this.#next) this.#next = time;
  }

  #unanswered(token: number, reason: 'timeout' | 'no-server' | 'busy' | 'unsendable'): void {
    this.counters.noAnswer++;
    this.#events.push({ type: 'no-answer', token, reason });
  }

  #recordLost(record: AccountingRecord, reason: 'lifetime' | 'queue-full' | 'unsendable'): void {
    this.counters.recordsLost++;
    this.#events.push({ type: 'record-lost', record, reason });
  }
}

const NOTHING = new Uint8Array(0);
const NO_SERVERS: ReadonlySet<ServerState<Flight>> = new Set();
const placeOf = (kind: RadiusKind, address: string, port: number): string => `${kind} ${address} ${port}`;
