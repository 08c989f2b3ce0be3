/**
 * The tunnel between two LNSs (document 002, tunnel 124): an L2TP control connection without calls that carries LSORQ
 * and LSORS. Both ends dial when there is none; RFC 2661's tie breaker decides when both do at once.
 */
import { CAPABILITY, findVendorAvp, OFFLOAD_AVP, OFFLOAD_VERSION } from '../../../tunnels/l2tp/offload-avps.js';
import { readCapability, readU32, writeBytes, writeCapability, writeU32 } from '../../../tunnels/l2tp/offload-avps.js';
import type { Avp, AvpInput } from '../../../tunnels/l2tp/avp.js';
import type { CompiledOffload } from '../../../config/lns-offload.js';
import type { OffloadChannel, PeerHello } from '../../../protocol/offload/channel.js';
import type { OffloadPair } from '../../../protocol/offload/pair.js';
import { ERROR_CODE, STOP_RESULT } from '../../../protocol/l2tp/codes.js';
import type { L2tpEvent } from '../../../protocol/l2tp/events.js';
import type { TunnelProfile } from '../../../protocol/l2tp/profile.js';
import type { L2tpTunnel } from '../../../protocol/l2tp/tunnel.js';
import type { OffloadHost } from '../offload-face.js';

/** Messages that may wait in the tunnel before the engine is told to hold back. */
const QUEUE = 256;
const WINDOW = 128;
const SETUP_SECONDS = 5;
/** Between two attempts to dial. */
const REDIAL_SECONDS = 1;
/** The whole time until death: a quarter of silence, then three repetitions, the first after an eighth. */
const HELLO_SHARE = 4;
const FIRST_SHARE = 8;
const TRIES = 3;

export interface LinkOptions {
  readonly settings: CompiledOffload;
  readonly secret: Uint8Array | null;
  /** Index of the local socket to dial from. */
  readonly socket: number;
}

export class OffloadLink {
  /** Nothing else may be with this tunnel. */
  tunnel: L2tpTunnel | null = null;
  /** Why the last one ended. */
  trouble = '';
  readonly #host: OffloadHost;
  readonly #pair: OffloadPair;
  readonly #o: LinkOptions;
  #dialled: L2tpTunnel | null = null;
  #dialAt = Number.POSITIVE_INFINITY;
  #incoming = new Set<L2tpTunnel>();

  constructor(host: OffloadHost, pair: OffloadPair, options: LinkOptions) {
    this.#host = host;
    this.#pair = pair;
    this.#o = options;
  }

  start(now: number): void {
    this.#dialAt = now;
  }

  /** How tunnels with the peer are kept, whoever dials. */
  profile(): TunnelProfile {
    const { deadAfter } = this.#o.settings;
    return {
      secret: this.#o.secret,
      helloInterval: deadAfter / HELLO_SHARE,
      reliable: {
        firstWait: deadAfter / FIRST_SHARE,
        longestWait: deadAfter / HELLO_SHARE,
        tries: TRIES,
        queueLimit: QUEUE,
      },
      window: WINDOW,
      setupTimeout: SETUP_SECONDS,
      follow: false,
    };
  }

  isPeer(address: string): boolean {
    return address === this.#o.settings.peer.host;
  }

  has(tunnel: L2tpTunnel): boolean {
    return tunnel === this.tunnel || tunnel === this.#dialled || this.#incoming.has(tunnel);
  }

  /** What we say of ourselves in SCCRQ or SCCRP. */
  #hello(): AvpInput[] {
    const { vendor } = this.#o.settings;
    const { instance, generation } = this.#pair.hello;
    return [
      writeCapability(vendor, { version: OFFLOAD_VERSION, flags: CAPABILITY.offload }),
      writeBytes(vendor, OFFLOAD_AVP.instance, instance),
      writeU32(vendor, OFFLOAD_AVP.generation, generation),
    ];
  }

  #read(avps: readonly Avp[]): PeerHello | null {
    const { vendor } = this.#o.settings;
    const capability = findVendorAvp(avps, vendor, OFFLOAD_AVP.capability, readCapability);
    const instance = findVendorAvp(avps, vendor, OFFLOAD_AVP.instance, (value) => (value.length === 8 ? value : null));
    const generation = findVendorAvp(avps, vendor, OFFLOAD_AVP.generation, readU32);
    if (capability === null || instance === null || generation === null) return null;
    if ((capability.flags & CAPABILITY.offload) === 0) return null;
    return { version: capability.version, instance, generation };
  }

  /** True: it is about the tunnel between the LNSs. */
  event(event: L2tpEvent, now: number): boolean {
    switch (event.type) {
      case 'tunnel-request':
        return this.#request(event.tunnel);
      case 'tunnel-up':
        if (!this.has(event.tunnel)) return false;
        this.#up(event.tunnel, now);
        return true;
      case 'tunnel-down':
        if (!this.has(event.tunnel)) return false;
        this.#down(event.tunnel, event.by === 'peer', event.message || event.by, now);
        return true;
      case 'vendor':
        if (!this.has(event.tunnel)) return false;
        this.#pair.receive(event.message.type, event.message.avps, now);
        return true;
      case 'suspect':
      case 'heard':
        return this.has(event.tunnel);
      case 'call':
        if (!this.has(event.session.tunnel)) return false;
        event.session.refuse(2, ERROR_CODE.none, 'no calls between LNSs');
        return true;
      default:
        return false;
    }
  }

  #request(tunnel: L2tpTunnel): boolean {
    if (this.#read(tunnel.peerAvps) === null) return false;
    if (!this.isPeer(tunnel.peer.address)) {
      tunnel.refuse(STOP_RESULT.notAuthorized, ERROR_CODE.none, 'state offload: not my peer');
      return true;
    }
    this.#incoming.add(tunnel);
    tunnel.accept(this.#hello());
    return true;
  }

  #up(tunnel: L2tpTunnel, now: number): void {
    const hello = this.#read(tunnel.peerAvps);
    this.#incoming.delete(tunnel);
    if (this.#dialled === tunnel) this.#dialled = null;
    if (hello === null) {
      this.trouble = 'the other end does not offer state offload';
      tunnel.stop(STOP_RESULT.error, ERROR_CODE.none, this.trouble);
      this.#dialAt = now + REDIAL_SECONDS * 5;
      return;
    }
    // A second one means that the other end has given up the first.
    const before = this.tunnel;
    this.tunnel = tunnel;
    this.trouble = '';
    this.#dialAt = Number.POSITIVE_INFINITY;
    before?.forget();
    if (before !== null) this.#pair.disconnect(true);
    this.#pair.connect(this.#channel(tunnel), hello, now);
  }

  #channel(tunnel: L2tpTunnel): OffloadChannel {
    const { vendor } = this.#o.settings;
    return {
      send: (type, avps) => tunnel.unacknowledged < QUEUE - 1 && tunnel.sendVendor({ vendor, type, avps }),
    };
  }

  #down(tunnel: L2tpTunnel, farewell: boolean, reason: string, now: number): void {
    this.#incoming.delete(tunnel);
    if (this.#dialled === tunnel) this.#dialled = null;
    this.trouble = reason;
    this.#dialAt = now + REDIAL_SECONDS;
    if (this.tunnel !== tunnel) return;
    this.tunnel = null;
    this.#pair.disconnect(farewell);
  }

  run(now: number): void {
    if (now < this.#dialAt || this.tunnel !== null || this.#dialled !== null) return;
    const { settings, socket } = this.#o;
    this.#dialAt = now + SETUP_SECONDS + REDIAL_SECONDS;
    const to = { address: settings.peer.host, port: settings.peer.port, socket };
    this.#dialled = this.#host.endpoint.open(to, { ...this.profile(), avps: this.#hello() }, now);
  }

  get nextTime(): number {
    return this.tunnel === null && this.#dialled === null ? this.#dialAt : Number.POSITIVE_INFINITY;
  }

  /** Says farewell: the peer does not take our tunnels for orphans. */
  stop(): void {
    this.#dialAt = Number.POSITIVE_INFINITY;
    for (const tunnel of [this.tunnel, this.#dialled]) tunnel?.stop(STOP_RESULT.shutdown);
  }
}
