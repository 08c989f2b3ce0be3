/**
 * The frames that a group says its shared addresses with: replies, tells and teaches (document 004, claims 1, 4, 5, 7).
 *
 * Whatever names a virtual MAC also has it as its Ethernet source: a switch that learns from the frame learns what the
 * host learns.
 */
import { type AddressWords, isIpv4 } from '../../wire/address.js';
import { ARP_REPLY, ARP_REQUEST, arpTargetMacOffset, emitArp } from '../../wire/arp.js';
import { emitEthernet, ETHERNET_LENGTH, TYPE_ARP } from '../../wire/ethernet.js';
import { emitAdvertisement, NA_OVERRIDE, NA_ROUTER, NA_SOLICITED, NEIGHBOUR_FRAME_LENGTH } from '../../wire/icmpv6.js';
import { ipv6DestinationOffset, ipv6SourceOffset } from '../../wire/ipv6.js';
import { type Mac, macBytes, messagesMac, virtualMac, writeMacNumber } from '../mac.js';
import { classify, type GroupOnSegment } from './classify.js';
import type { Ask, Heard } from './heard.js';

/** Without its check sequence a frame has at least 60 bytes (IEEE 802.3 §3.2.8). */
export const FRAME_MIN = 60;
/** EtherType of the members' own frames: local experimental (IEEE 802). */
export const TYPE_MESSAGE = 0x88b5;
/** First byte behind the Ethernet header of a teach frame; a message of the members begins with its version, never 0. */
export const TEACH = 0;

const BROADCAST: Mac = 0xffff_ffff_ffff;
/** RFC 2464 §7. */
const ALL_NODES_MAC: Mac = 0x3333_0000_0001;
const ALL_NODES: AddressWords = [0xff020000, 0, 0, 1];

export class Answers {
  readonly #group: GroupOnSegment;
  /** By forwarder, as they are asked for. */
  readonly #macs: Uint8Array[] = [];

  constructor(group: GroupOnSegment) {
    this.#group = group;
  }

  /** What a frame means; see `classify`. */
  classify(frame: Uint8Array): Heard {
    return classify(frame, this.#group);
  }

  /** The one reply to a question: it names the forwarder's virtual MAC, and has it as its Ethernet source. */
  reply(ask: Ask, forwarder: number): Uint8Array<ArrayBuffer> {
    const { host, hardware, address, target } = ask;
    if (ask.protocol === 'arp') return this.#arp(host, forwarder, ARP_REPLY, target, address, hardware);
    // Whoever detects duplicates has no address yet. All nodes are named at IP (RFC 4861 §7.2.4), but only the one that
    // asks at Ethernet (RFC 6085): the others have been told forwarders of their own.
    const flags = address === null ? NA_ROUTER | NA_OVERRIDE : NA_ROUTER | NA_SOLICITED | NA_OVERRIDE;
    return this.#advertisement(host, forwarder, flags, target, address);
  }

  /**
   * Tells a host, unasked, that its shared addresses are at this forwarder now (claim 7). In IPv4 a request of an address
   * for itself, which Linux heeds even within a second of the last change, when it takes no reply; then a reply, which
   * other systems heed, and which confirms the entry. In IPv6 an advertisement that overrides (RFC 4861 §7.2.6).
   * `addresses`: what the host was seen with, for the families that it speaks; empty: all that the group has.
   */
  tell(host: Mac, addresses: readonly AddressWords[], forwarder: number): Uint8Array<ArrayBuffer>[] {
    const frames: Uint8Array<ArrayBuffer>[] = [];
    const own4 = addresses.find((words) => isIpv4(words[0], words[1], words[2]));
    const speaks6 = addresses.some((words) => !isIpv4(words[0], words[1], words[2]));
    for (const shared of this.#group.addresses) {
      if (isIpv4(shared[0], shared[1], shared[2])) {
        if (own4 === undefined && addresses.length > 0) continue;
        frames.push(this.#arp(host, forwarder, ARP_REQUEST, shared, shared, 0));
        if (own4 !== undefined) frames.push(this.#arp(host, forwarder, ARP_REPLY, shared, own4, host));
      } else if (speaks6 || addresses.length === 0) {
        frames.push(this.#advertisement(host, forwarder, NA_ROUTER | NA_OVERRIDE, shared, null));
      }
    }
    return frames;
  }

  /**
   * Tells everybody at once, unasked, that the shared addresses are at this forwarder: gratuitous ARP (RFC 5227 §3) and
   * unsolicited advertisements (RFC 4861 §7.2.6). For groups in which all hosts have the same forwarder.
   */
  announce(forwarder: number): Uint8Array<ArrayBuffer>[] {
    return this.#group.addresses.map((shared) =>
      isIpv4(shared[0], shared[1], shared[2])
        ? this.#arp(BROADCAST, forwarder, ARP_REQUEST, shared, shared, 0)
        : this.#advertisement(ALL_NODES_MAC, forwarder, NA_ROUTER | NA_OVERRIDE, shared, null),
    );
  }

  /** A frame from the forwarder's virtual MAC that every switch learns from and no host reads. */
  teach(forwarder: number): Uint8Array<ArrayBuffer> {
    const frame = new Uint8Array(FRAME_MIN);
    writeMacNumber(frame, 0, messagesMac(this.#group.group));
    emitEthernet(new DataView(frame.buffer), 0, this.#mac(forwarder), TYPE_MESSAGE);
    frame[ETHERNET_LENGTH] = TEACH;
    return frame;
  }

  #mac(forwarder: number): Uint8Array {
    this.#macs[forwarder] ??= macBytes(virtualMac(this.#group.scheme, this.#group.group, forwarder));
    return this.#macs[forwarder];
  }

  #arp(
    to: Mac,
    forwarder: number,
    operation: number,
    sender: AddressWords,
    target: AddressWords | null,
    hardware: Mac,
  ): Uint8Array<ArrayBuffer> {
    const frame = new Uint8Array(FRAME_MIN);
    const view = new DataView(frame.buffer);
    const mac = this.#mac(forwarder);
    writeMacNumber(frame, 0, to);
    const arp = emitEthernet(view, 0, mac, TYPE_ARP);
    emitArp(view, arp, operation, mac, sender[3], target === null ? 0 : target[3]);
    writeMacNumber(frame, arpTargetMacOffset(arp), hardware);
    return frame;
  }

  #advertisement(
    to: Mac,
    forwarder: number,
    flags: number,
    shared: AddressWords,
    address: AddressWords | null,
  ): Uint8Array<ArrayBuffer> {
    const frame = new Uint8Array(NEIGHBOUR_FRAME_LENGTH);
    const view = new DataView(frame.buffer);
    writeMacNumber(frame, 0, to);
    const source = ipv6SourceOffset(ETHERNET_LENGTH);
    const destination = ipv6DestinationOffset(ETHERNET_LENGTH);
    const told = address ?? ALL_NODES;
    for (let i = 0; i < 4; i++) {
      view.setUint32(source + i * 4, shared[i]);
      view.setUint32(destination + i * 4, told[i]);
    }
    emitAdvertisement(view, 0, this.#mac(forwarder), flags);
    return frame;
  }
}
