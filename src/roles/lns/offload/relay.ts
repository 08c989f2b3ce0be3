/**
 * State offload between two LNSs that do not reach each other: their messages go through a LAC that has a tunnel to both
 * (document 002: the tunnel 106 "may also offload information via the network and the LAC"). A LAC keeps the order and
 * loses nothing while its tunnels stand; when it does lose something, answers are missing, and both begin anew.
 */
import type { CompiledOffload } from '../../../config/lns-offload.js';
import type { OffloadChannel, PeerHello } from '../../../protocol/offload/channel.js';
import type { OffloadPair } from '../../../protocol/offload/pair.js';
import type { L2tpTunnel } from '../../../protocol/l2tp/tunnel.js';
import { type Avp, type AvpInput, checkAvp, decodeAvp, encodeAvp } from '../../../tunnels/l2tp/avp.js';
import {
  CAPABILITY,
  findVendorAvp,
  OFFLOAD_AVP,
  OFFLOAD_MESSAGE,
  OFFLOAD_VERSION,
  readCapability,
  readU32,
  writeBytes,
  writeCapability,
  writeU32,
} from '../../../tunnels/l2tp/offload-avps.js';
import { readRelay, writeRelay } from '../../../tunnels/l2tp/offload-messages.js';
import type { OffloadHost } from '../offload-face.js';

/** Type of a relayed message that is only a sign of life; it carries who its sender is. */
const HELLO = 0;
/** Signs of life within the time after which the peer is taken for dead. */
const HELLOS = 4;
const QUEUE = 128;

export interface RelayOptions {
  readonly settings: CompiledOffload;
  /** Address of the peer, 4 or 16 bytes, as the LAC knows it. */
  readonly target: Uint8Array;
}

export class OffloadRelay {
  readonly counters = { received: 0, malformed: 0, refused: 0 };
  readonly #host: OffloadHost;
  readonly #pair: OffloadPair;
  readonly #o: RelayOptions;
  #helloAt = Number.POSITIVE_INFINITY;
  #heardAt = Number.NEGATIVE_INFINITY;
  #by: L2tpTunnel | null = null;

  constructor(host: OffloadHost, pair: OffloadPair, options: RelayOptions) {
    this.#host = host;
    this.#pair = pair;
    this.#o = options;
  }

  start(now: number): void {
    this.#helloAt = now;
  }

  /** A LAC that passes messages on, if there is one: the same as before as long as it stands. */
  #lac(): L2tpTunnel | null {
    if (this.#by?.state === 'established') return this.#by;
    for (const id of this.#host.tunnelIds()) {
      const tunnel = this.#host.endpoint.tunnels.get(id);
      if (tunnel === undefined) continue;
      const { vendor } = this.#o.settings;
      const capability = findVendorAvp(tunnel.peerAvps, vendor, OFFLOAD_AVP.capability, readCapability);
      if (capability?.version !== OFFLOAD_VERSION || (capability.flags & CAPABILITY.relay) === 0) continue;
      this.#by = tunnel;
      return tunnel;
    }
    this.#by = null;
    return null;
  }

  #send(type: number, avps: readonly AvpInput[]): boolean {
    const { settings, target } = this.#o;
    const tunnel = this.#lac();
    if (tunnel === null || tunnel.unacknowledged >= QUEUE) return false;
    const parts = avps.map(encodeAvp);
    const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    const relayed = writeRelay(settings.vendor, { target, type, avps: bytes });
    return tunnel.sendVendor({ vendor: settings.vendor, type: OFFLOAD_MESSAGE.RELAY, avps: relayed });
  }

  readonly #channel: OffloadChannel = { send: (type, avps) => this.#send(type, avps) };

  /** A RELAY message of a LAC. */
  receive(avps: readonly Avp[], now: number): void {
    const { vendor } = this.#o.settings;
    const relayed = readRelay(vendor, avps);
    const inner = relayed === null ? null : readAvps(relayed.avps);
    if (relayed === null || inner === null) {
      this.counters.malformed++;
      return;
    }
    // The LAC says where it has the message from: anybody's could claim to be the peer's otherwise.
    if (
      relayed.target.length !== this.#o.target.length ||
      relayed.target.some((byte, i) => byte !== this.#o.target[i])
    ) {
      this.counters.refused++;
      return;
    }
    this.counters.received++;
    this.#heardAt = now;
    if (relayed.type === HELLO) this.#hello(inner, now);
    else this.#pair.receive(relayed.type, inner, now);
  }

  #hello(avps: readonly Avp[], now: number): void {
    const { vendor } = this.#o.settings;
    const capability = findVendorAvp(avps, vendor, OFFLOAD_AVP.capability, readCapability);
    const instance = findVendorAvp(avps, vendor, OFFLOAD_AVP.instance, (value) => (value.length === 8 ? value : null));
    const generation = findVendorAvp(avps, vendor, OFFLOAD_AVP.generation, readU32);
    if (capability === null || instance === null || generation === null) {
      this.counters.malformed++;
      return;
    }
    const hello: PeerHello = { version: capability.version, instance, generation };
    const before = this.#pair.peer;
    const same = before !== null && before.instance.every((byte, i) => byte === instance[i]);
    if (this.#pair.connected && same) return;
    if (this.#pair.connected) this.#pair.disconnect(true);
    this.#pair.connect(this.#channel, hello, now);
    // The other one may not have heard of us yet.
    this.#helloAt = now;
  }

  run(now: number): void {
    const { deadAfter, vendor } = this.#o.settings;
    if (this.#pair.connected && now - this.#heardAt >= deadAfter) this.#pair.disconnect(false);
    if (now < this.#helloAt) return;
    this.#helloAt = now + deadAfter / HELLOS;
    const { instance, generation } = this.#pair.hello;
    this.#send(HELLO, [
      writeCapability(vendor, { version: OFFLOAD_VERSION, flags: CAPABILITY.offload }),
      writeBytes(vendor, OFFLOAD_AVP.instance, instance),
      writeU32(vendor, OFFLOAD_AVP.generation, generation),
    ]);
  }

  get nextTime(): number {
    return this.#helloAt;
  }
}

/** AVPs one after another; null when they are none. */
export function readAvps(bytes: Uint8Array): Avp[] | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const avps: Avp[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = checkAvp(view, at, bytes.length);
    if (length < 0) return null;
    avps.push(decodeAvp(view, at));
    at += length;
  }
  return avps;
}
