/**
 * The frames of a gateway group on an interface: ARP and neighbour discovery about the shared addresses, router
 * solicitations and the messages between members, by one packet socket. One wake-up and one native call a batch.
 *
 * The multicast groups that questions about IPv6 addresses go to (RFC 4861 §2.3) are joined through the kernel, which
 * says so by MLD: a switch that listens to that would bring the questions to nobody else.
 */
import { createSocket, type Socket } from 'node:dgram';
import { type AddressWords, formatIpv6, isIpv4 } from '../wire/address.js';
import type { LanFrames, LanStatistics } from './gateway-types.js';
import { LAN_BATCH, type NativeLanAddon, type NativeLanSocket } from './lan-native.js';

/** What our frames carry, so that the guard at the way out tells them from the kernel's. */
export const LAN_MARK = 0x5444;
/** Batches of one wake-up; what is left then waits for the next turn of the event loop, and timers are not late. */
const BATCHES = 8;
const ETHERNET = 14;
/** A tag, and what a driver may leave behind a frame. */
const SLACK = 18;
const SLOT_LEAST = 2048;
const ALL_ROUTERS: AddressWords = [0xff020000, 0, 0, 2];
const GLBP_PORT = 3222;
const GLBP_GROUP: AddressWords = [0xff020000, 0, 0, 0x66];
const GLBP_GROUP_IPV4_MAC = Uint8Array.of(0x01, 0, 0x5e, 0, 0, 0x66);

export interface LanSocketOptions {
  readonly device: string;
  readonly mtu: number;
  readonly addresses: readonly AddressWords[];
  /** Ethernet groups to receive besides those of the addresses. */
  readonly groups: readonly Uint8Array[];
  /** GLBP's messages as well: UDP 3222, to 224.0.0.102 and ff02::66. */
  readonly glbp?: boolean;
  readonly mark?: number;
  readonly onFrames: (frames: LanFrames) => void;
}

export class LanSocket implements LanFrames {
  readonly #socket: NativeLanSocket;
  readonly #onFrames: (frames: LanFrames) => void;
  readonly #device: string;
  readonly #glbp: boolean;
  readonly #slot: number;
  readonly #received: Uint8Array;
  readonly #outgoing: Uint8Array;
  readonly #columns = new Int32Array(2 * LAN_BATCH);
  readonly #times = new Float64Array(LAN_BATCH + 1);
  readonly #lengths = new Int32Array(LAN_BATCH);
  #listener: Socket | null = null;
  #groups = new Set<string>();
  #tooLong = 0;
  #closed = false;
  count = 0;

  /** Errors: with `code`, as of the system: EPERM, ENODEV. */
  constructor(addon: NativeLanAddon, options: LanSocketOptions) {
    this.#onFrames = options.onFrames;
    this.#device = options.device;
    this.#slot = Math.min(65_536, Math.max(SLOT_LEAST, (options.mtu + ETHERNET + SLACK + 63) & ~63));
    this.#received = new Uint8Array(this.#slot * LAN_BATCH);
    this.#outgoing = new Uint8Array(this.#slot * LAN_BATCH);
    this.#glbp = options.glbp === true;
    const groups = [...options.groups, ...this.#groupsFor(options.addresses).map(groupMac)];
    if (this.#glbp) groups.push(GLBP_GROUP_IPV4_MAC);
    this.#socket = new addon.LanSocket(
      {
        device: options.device,
        addresses: packed(options.addresses),
        groups: Uint8Array.from(groups.flatMap((mac) => [...mac])),
        udpPort: this.#glbp ? GLBP_PORT : 0,
        mark: options.mark ?? LAN_MARK,
        slotLength: this.#slot,
        received: this.#received,
        outgoing: this.#outgoing,
        columns: this.#columns,
        times: this.#times,
        lengths: this.#lengths,
      },
      () => this.#read(),
    );
    this.#listen(this.#groupsFor(options.addresses));
  }

  get now(): number {
    return this.#times[LAN_BATCH];
  }

  frame(index: number): Uint8Array {
    const at = this.#columns[2 * index] * this.#slot;
    return this.#received.subarray(at, at + this.#columns[2 * index + 1]);
  }

  arrived(index: number): number {
    return this.#times[index];
  }

  /** In order. Returns how many left; what did not is counted as refused. */
  send(frames: readonly Uint8Array[]): number {
    if (this.#closed) return 0;
    let sent = 0;
    let waiting = 0;
    for (const frame of frames) {
      if (frame.length > this.#slot || frame.length < ETHERNET) {
        this.#tooLong++;
        continue;
      }
      this.#outgoing.set(frame, waiting * this.#slot);
      this.#lengths[waiting++] = frame.length;
      if (waiting < LAN_BATCH) continue;
      sent += this.#socket.send(waiting);
      waiting = 0;
    }
    return waiting === 0 ? sent : sent + this.#socket.send(waiting);
  }

  /** Other shared addresses: from the next frame on. Ethernet groups of IPv6 addresses are joined as well. */
  setAddresses(addresses: readonly AddressWords[]): void {
    if (this.#closed) return;
    this.#socket.setAddresses(packed(addresses));
    this.#listen(this.#groupsFor(addresses));
  }

  /** The device takes frames to this MAC, or does no more: for those who read them by sockets of their own. Throws with `code`. */
  setStation(mac: Uint8Array, taken: boolean): void {
    if (!this.#closed) this.#socket.setStation(mac, taken);
  }

  statistics(): LanStatistics {
    const counts = this.#socket.statistics();
    return { ...counts, refused: counts.refused + this.#tooLong };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
    this.#listener?.close();
  }

  #read(): void {
    for (let batch = 0; batch < BATCHES && !this.#closed; batch++) {
      this.count = this.#socket.receive();
      if (this.count === 0) return;
      this.#onFrames(this);
      if (this.count < LAN_BATCH) return;
    }
  }

  #groupsFor(addresses: readonly AddressWords[]): AddressWords[] {
    const v6 = addresses.filter((words) => !isIpv4(words[0], words[1], words[2]));
    if (v6.length === 0) return [];
    return [ALL_ROUTERS, ...v6.map(solicitedNode), ...(this.#glbp ? [GLBP_GROUP] : [])];
  }

  #listen(groups: readonly AddressWords[]): void {
    const wanted = new Set(groups.map((words) => formatIpv6(...words)));
    if (wanted.size > 0 && this.#listener === null) {
      const socket = createSocket('udp6');
      // Joining fails where IPv6 is off on the interface; the Ethernet groups above are joined in any case.
      socket.on('error', () => {});
      socket.unref();
      this.#listener = socket;
    }
    for (const group of [...wanted, ...this.#groups]) {
      if (wanted.has(group) === this.#groups.has(group)) continue;
      try {
        if (wanted.has(group)) this.#listener?.addMembership(group, `::%${this.#device}`);
        else this.#listener?.dropMembership(group, `::%${this.#device}`);
      } catch {
        // As above.
      }
    }
    this.#groups = wanted;
  }
}

/** ff02::1:ffxx:xxxx of an address (RFC 4291 §2.7.1). */
function solicitedNode(words: AddressWords): AddressWords {
  return [0xff020000, 0, 1, (0xff000000 | (words[3] & 0xffffff)) >>> 0];
}

/** Where frames to an IPv6 group go (RFC 2464 §7). */
function groupMac(words: AddressWords): Uint8Array {
  const last = words[3];
  return Uint8Array.of(0x33, 0x33, last >>> 24, last >>> 16, last >>> 8, last);
}

function packed(addresses: readonly AddressWords[]): Int32Array {
  return Int32Array.from(addresses.flatMap((words) => [...words].map((word) => word | 0)));
}
