/**
 * Switchover at the LAC (document 002): joins the engine that moves tunnels with the L2TP endpoint and the calls. LNSs
 * that have told of a peer are asked for a sign of life often, so that their death is noticed while it still matters.
 */
import type { CompiledLacSwitchover } from '../../config/lac-switchover.js';
import type { EventLog } from '../../ops/events.js';
import type { Logger } from '../../ops/log.js';
import { STOP_RESULT } from '../../protocol/l2tp/codes.js';
import type { L2tpEvent } from '../../protocol/l2tp/events.js';
import type { L2tpSession } from '../../protocol/l2tp/session.js';
import type { L2tpTunnel } from '../../protocol/l2tp/tunnel.js';
import { LacMover, type MoverEvent, type MoverHost as EngineHost, type PeerLns } from '../../protocol/offload/mover.js';
import type { Avp, AvpInput } from '../../tunnels/l2tp/avp.js';
import {
  CAPABILITY,
  findVendorAvp,
  OFFLOAD_AVP,
  OFFLOAD_MESSAGE,
  OFFLOAD_VERSION,
  readAddressBytes,
  readCapability,
  readU16,
  readU32,
  writeCapability,
  writeIds,
  writeMovedTunnel,
} from '../../tunnels/l2tp/offload-avps.js';
import {
  readMoveResponse,
  readRelay,
  readSwitchoverRequest,
  writeMoveRequest,
  writeRelay,
  writeSwitchoverResponse,
} from '../../tunnels/l2tp/offload-messages.js';
import { formatAddress, IPV4_MAPPED, parseAddress, writeAddress } from '../../wire/address.js';
import type { LacSwitchover, MoverHost } from './switchover-face.js';

const L2TP_PORT = 1701;
/** A LAC gives up a tunnel to a peer LNS that does not answer sooner than an ordinary one. */
const NEVER = Number.POSITIVE_INFINITY;

export class LacSwitchoverDesk implements LacSwitchover {
  readonly mover: LacMover;
  /** Messages between LNSs that were passed on, and that were not. */
  readonly relayed = { passed: 0, refused: 0, unreachable: 0 };
  readonly #host: MoverHost;
  readonly #settings: CompiledLacSwitchover;
  readonly #logger: Logger;
  readonly #events: EventLog | null;
  /** Tunnels to LNSs with a peer, and when they were last asked for a sign of life. */
  readonly #watched = new Map<L2tpTunnel, number>();
  /** Tunnels to peer LNSs that were opened in advance, by address. */
  readonly #standby = new Map<string, L2tpTunnel>();
  #helloAt = NEVER;

  constructor(host: MoverHost, settings: CompiledLacSwitchover, logger: Logger, events: EventLog | null = null) {
    this.#host = host;
    this.#settings = settings;
    this.#logger = logger;
    this.#events = events;
    const allowed = new Set(settings.peers.map((words) => words.join()));
    this.mover = new LacMover(this.#engineHost(), {
      deadline: settings.deadline,
      suspectTries: settings.suspectAfter,
      allowed: (address) => allowed.has((parseAddress(textOf(address)) ?? []).join()),
    });
  }

  avpsFor(): readonly AvpInput[] {
    const { enabled, vendor } = this.#settings;
    if (!enabled) return [];
    return [writeCapability(vendor, { version: OFFLOAD_VERSION, flags: CAPABILITY.switchover | CAPABILITY.relay })];
  }

  event(event: L2tpEvent, now: number): boolean {
    if (!this.#settings.enabled) return false;
    switch (event.type) {
      case 'tunnel-up':
        this.#up(event.tunnel, now);
        return false;
      case 'tunnel-down':
        this.#down(event.tunnel, event.message || event.by, now);
        return false;
      case 'suspect':
        this.mover.suspect(event.tunnel.localId, event.tries, now);
        return false;
      case 'heard':
        this.mover.heard(event.tunnel.localId);
        return false;
      case 'vendor':
        return this.#vendor(event, now);
      case 'failover-answer':
        this.#answered(event);
        return true;
      default:
        return false;
    }
  }

  #up(tunnel: L2tpTunnel, now: number): void {
    const peer = this.#peerOf(tunnel);
    if (peer !== null) {
      this.mover.learn(tunnel.localId, peer);
      this.#watched.set(tunnel, now);
      this.#helloAt = Math.min(this.#helloAt, now + this.#settings.hello);
      if (this.#settings.standby) this.#openStandby(tunnel, peer);
    }
    this.mover.ready(tunnel.localId, now);
  }

  /** What the LNS told of its peer in SCCRP, or in SCCRQ where it dialled (FIG. 4). */
  #peerOf(tunnel: L2tpTunnel): PeerLns | null {
    const { vendor } = this.#settings;
    const find = <T>(type: number, read: (value: Uint8Array) => T | null): T | null =>
      findVendorAvp(tunnel.peerAvps, vendor, type, read);
    const capability = find(OFFLOAD_AVP.capability, readCapability);
    const address = find(OFFLOAD_AVP.peerAddress, readAddressBytes);
    const generation = find(OFFLOAD_AVP.generation, readU32);
    if (capability?.version !== OFFLOAD_VERSION || address === null || generation === null) return null;
    return { address, port: find(OFFLOAD_AVP.peerPort, readU16) ?? 0, generation };
  }

  #down(tunnel: L2tpTunnel, reason: string, now: number): void {
    this.#watched.delete(tunnel);
    for (const [address, standby] of this.#standby) if (standby === tunnel) this.#standby.delete(address);
    this.mover.down(tunnel.localId, reason, now);
  }

  #openStandby(like: L2tpTunnel, peer: PeerLns): void {
    const address = textOf(peer.address);
    if (this.#standby.has(address)) return;
    // The peer may be an LNS that calls have a tunnel to anyway.
    for (const other of this.#watched.keys()) if (other.peer.address === address) return;
    const tunnel = this.#host.open(address, peer.port || L2TP_PORT, like, []);
    if (tunnel === null) return;
    this.#standby.set(address, tunnel);
    this.#host.keep(tunnel, true);
  }

  #vendor({ tunnel, message }: Extract<L2tpEvent, { type: 'vendor' }>, now: number): boolean {
    const { vendor } = this.#settings;
    if (message.vendor !== vendor) return false;
    if (message.type === OFFLOAD_MESSAGE.STPLRQ) {
      const request = readSwitchoverRequest(vendor, message.avps);
      if (request !== null) this.mover.requested(tunnel.localId, request, now);
      else this.#logger.warn({ lns: tunnel.peer.address }, 'an STPLRQ could not be read');
    } else if (message.type === OFFLOAD_MESSAGE.RELAY) {
      this.#relay(tunnel, message.avps);
    } else if (message.type === OFFLOAD_MESSAGE.MTRP) {
      const response = readMoveResponse(vendor, message.avps);
      if (response?.granted === true) this.mover.ready(tunnel.localId, now);
      else if (response !== null) this.mover.refused(tunnel.localId, response.message, now);
    }
    return true;
  }

  /** Passes a message of an LNS on to its peer, and to nobody else. */
  #relay(from: L2tpTunnel, avps: readonly Avp[]): void {
    const { vendor } = this.#settings;
    const relayed = readRelay(vendor, avps);
    const peer = this.mover.peerOf(from.localId);
    if (relayed === null || peer === null || textOf(relayed.target) !== textOf(peer.address)) {
      this.relayed.refused++;
      return;
    }
    const to = this.#tunnelTo(textOf(peer.address));
    if (to === null) {
      this.relayed.unreachable++;
      this.#openStandby(from, peer);
      return;
    }
    // Behind the LAC it says where it comes from.
    const target = bytesOf(from.peer.address);
    const passed = to.sendVendor({
      vendor,
      type: OFFLOAD_MESSAGE.RELAY,
      avps: writeRelay(vendor, { ...relayed, target }),
    });
    if (passed) this.relayed.passed++;
    else this.relayed.unreachable++;
  }

  #tunnelTo(address: string): L2tpTunnel | null {
    const { vendor } = this.#settings;
    for (const tunnel of this.#host.endpoint.tunnels.values()) {
      if (tunnel.peer.address === address && tunnel.state === 'established' && tunnel.speaks(vendor)) return tunnel;
    }
    return null;
  }

  #answered({ tunnel, kept, lost }: Extract<L2tpEvent, { type: 'failover-answer' }>): void {
    this.mover.confirmed(
      tunnel.localId,
      kept.map(({ localId }) => localId),
      lost.map(({ localId }) => localId),
    );
  }

  // ── what the engine lets happen ───────────────────────────────────────────────────────────────────────────────────

  #engineHost(): EngineHost {
    const host = this.#host;
    const tunnelOf = (id: number): L2tpTunnel | undefined => host.endpoint.tunnels.get(id);
    const each = (tunnel: number, ids: readonly number[], act: (session: L2tpSession) => void): void => {
      const found = tunnelOf(tunnel);
      for (const id of ids) {
        const session = found?.sessions.get(id);
        if (session !== undefined) act(session);
      }
    };
    return {
      sessions: (id) => {
        const tunnel = tunnelOf(id);
        if (tunnel === undefined) return [];
        return Array.from(host.sessions(tunnel), ({ localId, peerId }) => ({ local: localId, peer: peerId }));
      },
      identity: (id) => {
        const tunnel = tunnelOf(id);
        return tunnel === undefined ? null : { address: bytesOf(tunnel.peer.address), lnsTunnel: tunnel.peerId };
      },
      hold: (tunnel, ids) => each(tunnel, ids, (session) => host.hold(session)),
      flow: (tunnel, ids) => each(tunnel, ids, (session) => host.resume(session)),
      dial: (from, peer, moved, ids) => {
        const like = tunnelOf(from);
        if (like === undefined) return null;
        const { vendor } = this.#settings;
        const avps = [writeMovedTunnel(vendor, moved), ...writeIds(vendor, ids)];
        return host.open(textOf(peer.address), peer.port || L2TP_PORT, like, avps)?.localId ?? null;
      },
      ask: (peer, moved, ids) => {
        const { vendor } = this.#settings;
        const tunnel = this.#standby.get(textOf(peer.address));
        if (tunnel === undefined || tunnel.state !== 'established' || tunnel.sessions.size > 0) return null;
        const avps = writeMoveRequest(vendor, { moved, sessions: ids });
        if (!tunnel.sendVendor({ vendor, type: OFFLOAD_MESSAGE.MTRQ, avps })) return null;
        // Used up: the tunnel is that of the moved sessions now.
        this.#standby.delete(textOf(peer.address));
        host.keep(tunnel, false);
        return tunnel.localId;
      },
      move: (from, to, ids) => {
        const target = tunnelOf(to);
        const failed: number[] = [];
        const source = tunnelOf(from);
        for (const id of ids) {
          const session = source?.sessions.get(id);
          if (session === undefined) continue;
          if (target?.moveHere(session) !== true) failed.push(id);
        }
        return failed;
      },
      query: (id, ids) => {
        const tunnel = tunnelOf(id);
        const sessions = ids.flatMap((session) => tunnel?.sessions.get(session) ?? []);
        if (sessions.length > 0) tunnel?.sendFsq(sessions);
      },
      end: (tunnel, ids, why) => each(tunnel, ids, (session) => host.abandon(session, why)),
      answer: (id, response) => {
        const { vendor } = this.#settings;
        const avps = writeSwitchoverResponse(vendor, response);
        tunnelOf(id)?.sendVendor({ vendor, type: OFFLOAD_MESSAGE.STPLRP, avps });
      },
      redirect: (id) => {
        const tunnel = tunnelOf(id);
        if (tunnel !== undefined) this.#redirect(tunnel);
      },
      forget: (id) => {
        const tunnel = tunnelOf(id);
        if (tunnel === undefined) return;
        this.#watched.delete(tunnel);
        host.retire(tunnel);
        tunnel.forget();
      },
      abandon: (id) => tunnelOf(id)?.stop(STOP_RESULT.clear, 0, 'the move was given up'),
    };
  }

  /** New calls for this LNS take another tunnel: that of the move, or one to its peer. */
  #redirect(tunnel: L2tpTunnel): void {
    const peer = this.mover.peerOf(tunnel.localId);
    this.#host.retire(tunnel);
    if (peer === null || this.mover.isMoving(tunnel.localId)) return;
    this.#host.open(textOf(peer.address), peer.port || L2TP_PORT, tunnel, []);
  }

  // ── turns ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  run(now: number): void {
    if (now >= this.#helloAt) this.#hello(now);
    this.mover.run(now);
    for (const event of this.mover.events()) this.#tell(event);
  }

  /** An LNS that has nothing to acknowledge cannot be noticed to be dead. */
  #hello(now: number): void {
    this.#helloAt = NEVER;
    for (const [tunnel, at] of this.#watched) {
      let next = at + this.#settings.hello;
      if (now >= next) {
        if (tunnel.state === 'established' && tunnel.sessions.size > 0) tunnel.sendHello();
        const peer = this.mover.peerOf(tunnel.localId);
        if (this.#settings.standby && peer !== null && tunnel.sessions.size > 0) this.#openStandby(tunnel, peer);
        this.#watched.set(tunnel, now);
        next = now + this.#settings.hello;
      }
      this.#helloAt = Math.min(this.#helloAt, next);
    }
  }

  #tell(event: MoverEvent): void {
    const { type, ...facts } = event;
    const shown = 'address' in facts ? { ...facts, address: textOf(facts.address) } : facts;
    const words = {
      begun: 'sessions are held: their tunnel moves to the peer LNS',
      moved: 'sessions were moved to the peer LNS',
      failed: 'sessions could not be moved to the peer LNS',
      cancelled: 'the LNS has answered after all: nothing is moved',
    } as const;
    this.#logger[type === 'failed' ? 'warn' : 'info'](shown, words[type]);
    this.#events?.emit('switchover', { what: type, ...shown });
  }

  get nextTime(): number {
    return Math.min(this.#helloAt, this.mover.nextTime);
  }
}

function bytesOf(address: string): Uint8Array {
  const bytes = new Uint8Array(16);
  const words = parseAddress(address) ?? [0, 0, IPV4_MAPPED, 0];
  return bytes.slice(0, writeAddress(new DataView(bytes.buffer), 0, words));
}

function textOf(address: Uint8Array): string {
  const view = new DataView(address.buffer, address.byteOffset, address.byteLength);
  return address.length === 4
    ? formatAddress(0, 0, IPV4_MAPPED, view.getUint32(0))
    : formatAddress(view.getUint32(0), view.getUint32(4), view.getUint32(8), view.getUint32(12));
}
