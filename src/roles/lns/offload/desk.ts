/**
 * State offload and switchover of an LNS (document 002): joins the engines of src/protocol/offload with the tunnels of
 * this LNS, the tunnel to its peer, and the network.
 */
import type { CompiledOffload } from '../../../config/lns-offload.js';
import type { EndpointCommand, EndpointTable, MetricReading } from '../../../ops/endpoint.js';
import type { EventLog } from '../../../ops/events.js';
import type { Logger } from '../../../ops/log.js';
import { ERROR_CODE, STOP_RESULT } from '../../../protocol/l2tp/codes.js';
import type { L2tpEvent } from '../../../protocol/l2tp/events.js';
import type { TunnelProfile } from '../../../protocol/l2tp/profile.js';
import type { L2tpTunnel } from '../../../protocol/l2tp/tunnel.js';
import { instanceText } from '../../../protocol/offload/channel.js';
import { OffloadPair, type PairEvent } from '../../../protocol/offload/pair.js';
import type { PlainObject } from '../../../protocol/offload/state.js';
import { decodeState, encodeState } from '../../../protocol/offload/state.js';
import type { OffloadItem, OffloadSubject } from '../../../protocol/offload/source.js';
import type { AvpInput } from '../../../tunnels/l2tp/avp.js';
import {
  CAPABILITY,
  findVendorAvp,
  OFFLOAD_AVP,
  OFFLOAD_MESSAGE,
  OFFLOAD_VERSION,
  readCapability,
  readIds,
  readMovedTunnel,
  writeBytes,
  writeCapability,
  writeU16,
  writeU32,
} from '../../../tunnels/l2tp/offload-avps.js';
import {
  DENIAL,
  type Denial,
  readMoveRequest,
  readSwitchoverResponse,
  writeMoveResponse,
} from '../../../tunnels/l2tp/offload-messages.js';
import { type AddressWords, parseAddress, writeAddress } from '../../../wire/address.js';
import type { NetworkTakeOver } from '../../take-over/network-take-over.js';
import type { LnsOffload, OffloadHost } from '../offload-face.js';
import { Adoption } from './adoption.js';
import { OffloadLink } from './link.js';
import { OffloadRelay } from './relay.js';
import { OrphanCare } from './orphans.js';
import { readSession, readTunnel, writeSession, writeTunnel } from './snapshots.js';
import { SwitchoverDesk } from './switchover-desk.js';
import { peerRow } from './rows.js';

const L2TP_PORT = 1701;
/** A reason is logged so often at most. */
const SAME_WARNING_SECONDS = 10;

export interface OffloadDeskOptions {
  readonly settings: CompiledOffload;
  readonly secret: Uint8Array | null;
  /** Null: nothing is done to the network. */
  readonly network: NetworkTakeOver | null;
  readonly logger: Logger;
  readonly events: EventLog;
  readonly random: (length: number) => Uint8Array;
  /** Index of the local socket that reaches the peer. */
  readonly socket: number;
}

export class LnsOffloadDesk implements LnsOffload {
  readonly pair: OffloadPair;
  readonly link: OffloadLink;
  /** Instead of the link, where the two LNSs do not reach each other. */
  readonly relay: OffloadRelay | null;
  readonly adoption: Adoption;
  readonly orphans: OrphanCare;
  readonly switchover: SwitchoverDesk;
  readonly tables: ReadonlyMap<string, EndpointTable>;
  readonly commands: ReadonlyMap<string, EndpointCommand>;
  readonly #host: OffloadHost;
  readonly #o: OffloadDeskOptions;
  readonly #warned = new Map<string, number>();

  constructor(host: OffloadHost, options: OffloadDeskOptions) {
    const { settings, logger, network, random } = options;
    this.#host = host;
    this.#o = options;
    this.pair = new OffloadPair(this.#subject(), {
      vendor: settings.vendor,
      instance: random(8),
      generation: Math.floor(Date.now() / 1000),
      refresh: settings.refresh,
      limits: settings.limits,
      judge: (configuration) => this.#judge(configuration),
    });
    this.link = new OffloadLink(host, this.pair, options);
    this.relay = settings.relay
      ? new OffloadRelay(host, this.pair, { settings, target: addressBytes(settings.announce.host) })
      : null;
    this.adoption = new Adoption(host, this.pair, logger);
    // Where a LAC stands between, its death looks like the peer's: nothing of the network may be taken on its word.
    const taking = settings.relay ? null : network;
    this.orphans = new OrphanCare(host, this.pair, this.adoption, taking, settings, logger);
    this.switchover = new SwitchoverDesk(host, this.pair, this.adoption, options);
    this.commands = this.switchover.commands;
    const rows = () => [[peerRow(this, settings)]];
    this.tables = new Map([
      ['peers', { description: 'The LNS that shares its state with this one.', filters: [], rows }],
    ]);
  }

  // ── what is told ──────────────────────────────────────────────────────────────────────────────────────────────────

  #subject(): OffloadSubject {
    const host = this.#host;
    return {
      tunnels: () => this.#served(),
      sessions: (tunnel) => host.sessionIds(tunnel),
      describe: (tunnel, session) => this.#describe(tunnel, session),
      configuration: () => encodeState('configuration', host.configuration() as PlainObject),
    };
  }

  /** A tunnel that is taken unchanged keeps its id: the two LNSs must not give the same ones. */
  #judge(configuration: Uint8Array): Denial {
    const [own, peer] = [this.#host.configuration() as PlainObject, decodeState('configuration', configuration)];
    if (typeof peer === 'string') return peer === 'version' ? DENIAL.version : DENIAL.malformed;
    const [ours, theirs] = [own.ids, peer.ids] as (readonly number[] | undefined)[];
    if (!Array.isArray(ours) || !Array.isArray(theirs)) return DENIAL.none;
    if (ours[1] < theirs[0] || theirs[1] < ours[0]) return DENIAL.none;
    const facts = { ids: ours.join('-'), peerIds: theirs.join('-') };
    this.#warn('ids', facts, 'tunnels.ids of this LNS and its peer overlap: no state is kept until they do not');
    return DENIAL.idsOverlap;
  }

  *#served(): Generator<number> {
    for (const id of this.#host.tunnelIds()) {
      const tunnel = this.#host.endpoint.tunnels.get(id);
      if (tunnel !== undefined && !this.link.has(tunnel)) yield id;
    }
  }

  #describe(tunnelId: number, sessionId: number): OffloadItem | null {
    const tunnel = this.#host.endpoint.tunnels.get(tunnelId);
    if (tunnel === undefined || tunnel.state !== 'established') return null;
    const generation = this.pair.generationOf(tunnelId);
    const ids = { lacTunnel: tunnel.peerId, generation };
    if (sessionId === 0) {
      const data = this.#host.describeTunnel(tunnelId) as PlainObject | null;
      return data === null ? null : { ...ids, lacSession: 0, state: writeTunnel(data, this.cooperates(tunnel)) };
    }
    const data = this.#host.describeSession(tunnelId, sessionId) as PlainObject | null;
    const session = tunnel.sessions.get(sessionId);
    if (data === null || session === undefined) return null;
    return { ...ids, lacSession: session.peerId, state: writeSession(data) };
  }

  /** The other end is a LAC that moves tunnels. */
  cooperates(tunnel: L2tpTunnel): boolean {
    const { vendor } = this.#o.settings;
    const capability = findVendorAvp(tunnel.peerAvps, vendor, OFFLOAD_AVP.capability, readCapability);
    return capability?.version === OFFLOAD_VERSION && (capability.flags & CAPABILITY.switchover) !== 0;
  }

  changed(tunnelId: number, sessionId: number): void {
    if (this.link.tunnel?.localId === tunnelId) return;
    const now = this.#host.now();
    this.pair.changed(tunnelId, sessionId, now);
    // Its numbers have moved with the messages that made the change.
    if (sessionId !== 0) this.pair.changed(tunnelId, 0, now);
  }

  removed(tunnelId: number, sessionId: number): void {
    if (sessionId === 0) this.pair.ended(tunnelId, this.#host.now());
    else this.changed(tunnelId, sessionId);
  }

  /** How to deal with the peer where it dials; null: it is somebody else. */
  profileFor(address: string): TunnelProfile | null {
    return this.link.isPeer(address) ? { ...this.#host.profile, ...this.link.profile() } : null;
  }

  /** FIG. 4: the peer's address, for LACs that can do something with it. */
  avpsFor(tunnel: L2tpTunnel | null): readonly AvpInput[] {
    const { vendor, announce } = this.#o.settings;
    if (tunnel !== null && !this.cooperates(tunnel)) return [];
    const generation = tunnel === null ? this.pair.generation : this.adoption.generationOf(tunnel);
    return [
      writeCapability(vendor, { version: OFFLOAD_VERSION, flags: CAPABILITY.switchover }),
      writeBytes(vendor, OFFLOAD_AVP.peerAddress, addressBytes(announce.host)),
      ...(announce.port === L2TP_PORT ? [] : [writeU16(vendor, OFFLOAD_AVP.peerPort, announce.port)]),
      writeU32(vendor, OFFLOAD_AVP.generation, generation),
    ];
  }

  // ── events of tunnels ─────────────────────────────────────────────────────────────────────────────────────────────

  event(event: L2tpEvent, now: number): boolean {
    if (this.link.event(event, now)) return true;
    switch (event.type) {
      case 'tunnel-request':
        return this.#refuses(event.tunnel);
      case 'tunnel-up':
        this.#arrive(event.tunnel, now);
        return false;
      case 'tunnel-down':
        this.adoption.ended(event.tunnel);
        this.switchover.ended(event.tunnel.localId, event.message || event.by);
        return false;
      case 'failover-query':
        this.adoption.confirmed(event.tunnel, event.kept);
        return false;
      case 'vendor':
        this.#vendor(event, now);
        return true;
      default:
        return false;
    }
  }

  #refuses(tunnel: L2tpTunnel): boolean {
    const { vendor } = this.#o.settings;
    const moved = findVendorAvp(tunnel.peerAvps, vendor, OFFLOAD_AVP.movedTunnel, readMovedTunnel);
    if (moved === null) return false;
    const ids = tunnel.peerAvps.flatMap((avp) =>
      avp.type === OFFLOAD_AVP.sessionIds ? (findVendorAvp([avp], vendor, OFFLOAD_AVP.sessionIds, readIds) ?? []) : [],
    );
    const refusal = this.adoption.judge(tunnel, moved, ids);
    if (refusal === null) return false;
    tunnel.refuse(STOP_RESULT.error, ERROR_CODE.vendor, refusal);
    return true;
  }

  #arrive(tunnel: L2tpTunnel, now: number): void {
    if (!this.adoption.isComing(tunnel)) return;
    const sessions = this.adoption.arrive(tunnel, now);
    this.#o.events.emit('switchover', { what: 'came', tunnel: tunnel.localId, sessions });
    this.#o.logger.info(
      { tunnel: tunnel.localId, peer: tunnel.peer.address, sessions },
      'a LAC has moved its sessions here',
    );
  }

  #vendor({ tunnel, message }: Extract<L2tpEvent, { type: 'vendor' }>, now: number): void {
    const { vendor } = this.#o.settings;
    if (message.vendor !== vendor) return;
    if (message.type === OFFLOAD_MESSAGE.STPLRP) {
      const response = readSwitchoverResponse(vendor, message.avps);
      if (response !== null) this.switchover.answered(tunnel.localId, response, now);
      else this.pair.counters.malformed++;
    } else if (message.type === OFFLOAD_MESSAGE.RELAY) {
      this.relay?.receive(message.avps, now);
    } else if (message.type === OFFLOAD_MESSAGE.MTRQ) {
      const request = readMoveRequest(vendor, message.avps);
      if (request === null) return void this.pair.counters.malformed++;
      const refusal = this.adoption.judge(tunnel, request.moved, request.sessions);
      if (refusal === null) this.#arrive(tunnel, now);
      const granted = refusal === null;
      const reason = granted ? DENIAL.none : DENIAL.unknownTunnel;
      const avps = writeMoveResponse(vendor, { ...request, granted, reason, message: refusal ?? '' });
      tunnel.sendVendor({ vendor, type: OFFLOAD_MESSAGE.MTRP, avps });
    }
  }

  // ── events of the pair ────────────────────────────────────────────────────────────────────────────────────────────

  #pairEvent(event: PairEvent, now: number): void {
    const { logger, network } = this.#o;
    switch (event.type) {
      case 'connected':
        this.orphans.end(this.pair.store);
        this.#o.events.emit('peer-state', {
          what: 'connected',
          instance: event.instance,
          generation: event.generation,
        });
        logger.info({ instance: event.instance, generation: event.generation }, 'the peer LNS is connected');
        return;
      case 'synchronised':
        this.#o.events.emit('peer-state', { what: event.type });
        logger.info({ sessions: this.#host.load().sessions }, 'the peer LNS has the whole state');
        return;
      case 'lost':
        this.#o.events.emit('peer-state', { what: event.type });
        this.orphans.begin(this.pair.store, now);
        return;
      case 'restarted':
        this.#o.events.emit('peer-state', { what: event.type });
        if (this.pair.former !== null) this.orphans.begin(this.pair.former, now);
        return;
      case 'claimed':
        void this.#claimed(event.tunnel, event.sessions, now);
        return;
      case 'hand-over':
        this.orphans.enlist([event.tunnel]);
        return;
      case 'hand-over-denied':
        this.switchover.ended(event.tunnel, event.reason);
        return;
      case 'fenced':
        this.#fenced(event.tunnel);
        return;
      case 'denied':
        this.#warn(event.reason, { reason: event.reason, text: event.message }, 'the peer LNS does not keep our state');
        return;
      case 'version':
        this.#warn('version', { version: event.version }, 'the peer LNS speaks another version of state offload');
        return;
      case 'held':
        if (network !== null) this.#warn('held', { tunnel: event.tunnel }, 'the peer LNS still serves tunnels of ours');
    }
  }

  #warn(key: string, facts: object, text: string): void {
    const now = this.#host.now();
    if (now - (this.#warned.get(key) ?? Number.NEGATIVE_INFINITY) < SAME_WARNING_SECONDS) return;
    this.#warned.set(key, now);
    this.#o.logger.warn(facts, text);
  }

  /** The peer serves a tunnel of ours now, or some of its sessions: not a word to the client. */
  async #claimed(tunnelId: number, sessions: readonly number[], now: number): Promise<void> {
    const tunnel = this.#host.endpoint.tunnels.get(tunnelId);
    const { logger, network } = this.#o;
    if (tunnel === undefined) return this.switchover.claimed(tunnelId);
    const planned = this.switchover.isPending(tunnelId);
    if (this.switchover.isHandedOver(tunnelId)) await this.#yield(tunnelId);
    const ids = sessions.length === 0 ? [...tunnel.sessions.keys()] : sessions;
    const addresses: { words: AddressWords; length: number }[] = [];
    for (const id of ids) {
      const session = tunnel.sessions.get(id);
      if (session === undefined) continue;
      if (network !== null) addresses.push(...this.#addressesOf(tunnelId, id));
      this.#host.forgetSession(session);
      this.pair.changed(tunnelId, id, now);
    }
    if (addresses.length > 0) void network?.release(addresses);
    if (sessions.length === 0) {
      const cooperating = planned && this.cooperates(tunnel);
      this.adoption.ended(tunnel);
      // A LAC that has moved its sessions away gets a farewell for the empty tunnel; anybody else must not hear of it.
      if (cooperating) tunnel.stop(STOP_RESULT.clear, ERROR_CODE.none, 'moved to the peer LNS');
      else tunnel.forget();
      this.pair.ended(tunnelId, now);
    }
    logger.info({ tunnel: tunnelId, sessions: ids.length, planned }, 'the peer LNS serves these sessions now');
    this.#o.events.emit('switchover', { what: 'gone', tunnel: tunnelId, sessions: ids.length, planned });
    this.switchover.claimed(tunnelId);
    this.#host.wake();
  }

  #addressesOf(tunnelId: number, sessionId: number) {
    const data = this.#host.describeSession(tunnelId, sessionId) as PlainObject | null;
    if (data === null) return [];
    const read = readSession({ state: writeSession(data), lacSession: 0, high: 0, low: 0 });
    return typeof read === 'string' ? [] : read.addresses;
  }

  /** The network brings the tunnel's packets to the peer from now on. */
  async #yield(tunnelId: number): Promise<void> {
    const { network } = this.#o;
    if (network === null) return;
    const generation = this.orphans.nextGeneration();
    await network.yield({ generation, ranges: [{ low: tunnelId, high: tunnelId }] });
    this.orphans.giveBackAddresses();
  }

  /** A higher generation than that of our claim is served elsewhere. */
  #fenced(lnsTunnel: number): void {
    for (const [id, origin] of this.adoption.origins) {
      if (origin.tunnel !== lnsTunnel) continue;
      this.#o.logger.warn({ tunnel: id }, 'a tunnel is let go: its former LNS serves it under a higher generation');
      this.orphans.letGo([id]);
    }
  }

  // ── turns ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  start(now: number): void {
    if (this.relay === null) this.link.start(now);
    else this.relay.start(now);
    this.#host.wake();
  }

  run(now: number): void {
    if (!this.orphans.holds(this.#o.settings.peer.host)) this.link.run(now);
    this.relay?.run(now);
    for (const event of this.pair.events()) this.#pairEvent(event, now);
    this.orphans.run(now);
    this.adoption.run(now);
    this.switchover.run(now);
    this.pair.run(now);
    const { arrived } = this.adoption;
    if (arrived.length === 0) return;
    this.adoption.arrived = [];
    void this.#o.network?.attract(arrived);
  }

  get nextTime(): number {
    return Math.min(
      this.orphans.holds(this.#o.settings.peer.host) ? Number.POSITIVE_INFINITY : this.link.nextTime,
      this.relay?.nextTime ?? Number.POSITIVE_INFINITY,
      this.pair.nextTime,
      this.orphans.nextTime,
      this.adoption.nextTime,
      this.switchover.nextTime,
    );
  }

  metrics(): readonly MetricReading[] {
    const { source, store, counters } = this.pair;
    const { adoption } = this;
    const gauge = (name: string, help: string, value: number): MetricReading => ({ name, help, kind: 'gauge', value });
    const counter = (name: string, help: string, value: number, reason?: string): MetricReading => ({
      name,
      help,
      kind: 'counter',
      value,
      ...(reason === undefined ? {} : { reason }),
    });
    return [
      gauge('offload_connected', 'The tunnel to the peer LNS stands.', this.pair.connected ? 1 : 0),
      gauge('offload_synchronised', 'The peer LNS has the whole state.', source.synchronised ? 1 : 0),
      gauge('offload_kept_sessions', 'Sessions of the peer LNS whose state is kept.', store.sessionCount),
      gauge('offload_kept_bytes', 'Bytes of states that are kept for the peer LNS.', store.bytes),
      counter('offload_entries_total', 'States and removals that were sent.', source.statistics.entriesSent),
      counter('offload_denied_total', 'Messages that the peer LNS denied.', source.statistics.denied),
      counter(
        'offload_malformed_total',
        'Messages of the peer LNS or a LAC that could not be read.',
        counters.malformed,
      ),
      counter(
        'offload_fenced_total',
        'States of the peer LNS that were refused: another serves them.',
        counters.fenced,
      ),
      ...Object.entries(adoption.counters).map(([reason, value]) =>
        counter('switchover_total', 'What was taken over from the peer LNS, and what was not.', value, reason),
      ),
    ];
  }

  get instance(): string {
    return instanceText(this.pair.hello.instance);
  }

  /** A tunnel of the peer whose state is kept, for rows. */
  keptTunnels(): { total: number; cooperating: number } {
    let cooperating = 0;
    for (const stored of this.pair.store.tunnels.values()) {
      const read = readTunnel(stored);
      if (typeof read !== 'string' && read.cooperating) cooperating++;
    }
    return { total: this.pair.store.tunnels.size, cooperating };
  }

  async stop(): Promise<void> {
    this.link.stop();
    await this.#o.network?.stop();
  }
}

function addressBytes(address: string): Uint8Array {
  const bytes = new Uint8Array(16);
  const words = parseAddress(address) ?? [0, 0, 0xffff, 0];
  return bytes.slice(0, writeAddress(new DataView(bytes.buffer), 0, words));
}
