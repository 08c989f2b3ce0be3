/**
 * What a frame of the segment means to a gateway group. Everything is numbers copied out of the frame, so it outlives the
 * buffer that the frame came in.
 */
import type { AddressWords } from '../../wire/address.js';
import type { Mac } from '../mac.js';

/** Somebody wants to know where a shared address is: an ARP request (RFC 826) or a Neighbour Solicitation (RFC 4861). */
export interface Ask {
  readonly kind: 'ask';
  readonly protocol: 'arp' | 'nd';
  /** Ethernet source: the host, and where the reply goes. */
  readonly host: Mac;
  /** The asker's MAC as the packet itself names it; `host` but behind bridges that rewrite one of the two. */
  readonly hardware: Mac;
  /** The asker's address; null when it has none yet or none that can be its own. */
  readonly address: AddressWords | null;
  /** The shared address: the very object of the group's list. */
  readonly target: AddressWords;
  /** Its place in that list. */
  readonly index: number;
  /** The forwarder whose virtual MAC the question was sent to: what the host uses now. 0: it went to all. */
  readonly forwarder: number;
  /** True for an ARP probe (RFC 5227 §2.1.1) and duplicate address detection (RFC 4862 §5.4): answered in defence. */
  readonly probe: boolean;
  /** False: the answer must not advance the order in which gateways are given out. */
  readonly turn: boolean;
}

/** A station that is none of the group's virtual MACs says that a shared address is its own. */
export interface Claim {
  readonly kind: 'claim';
  readonly protocol: 'arp' | 'nd';
  readonly by: 'request' | 'reply' | 'announcement' | 'advertisement' | 'detection';
  /** Ethernet source. */
  readonly station: Mac;
  /** The MAC that it wants hosts to send to. */
  readonly hardware: Mac;
  /** The shared address: the very object of the group's list. */
  readonly target: AddressWords;
  /** Answered as well where the claim has the form of a request for the address. */
  readonly ask: Ask | null;
}

/** A Router Solicitation (RFC 4861 §4.1). */
export interface RouterSolicited {
  readonly kind: 'router-solicitation';
  readonly host: Mac;
  /** Null: the unspecified address; the answer goes to all nodes. */
  readonly address: AddressWords | null;
}

/** ARP or ND from one of the group's own virtual MACs: a member's, or somebody's who forges it. */
export interface OwnFrame {
  readonly kind: 'own';
  readonly forwarder: number;
}

/** ARP or ND of a host about something else: it shows which address the host has. */
export interface Sighting {
  readonly kind: 'sighting';
  readonly host: Mac;
  readonly address: AddressWords;
}

/** Why a frame means nothing to the group. */
export const IGNORED = {
  short: 'frame without a whole header',
  tagged: 'frame of another VLAN',
  type: 'neither ARP nor IPv6',
  'source-group': 'Ethernet source is a group address',
  'source-zero': 'Ethernet source is zero',
  'arp-form': 'ARP that is too short or maps other things than IPv4 to Ethernet',
  'arp-sender': 'ARP whose sender MAC is a group address or zero',
  'ipv6-form': 'IPv6 that is cut off, fragmented or not Neighbour Discovery',
  'nd-hop-limit': 'Neighbour Discovery that a router may have forwarded',
  'nd-checksum': 'Neighbour Discovery with a wrong checksum',
  'nd-form': 'Neighbour Discovery with a wrong code, length, option or address',
  unrelated: 'about other addresses',
} as const;

export type IgnoredReason = keyof typeof IGNORED;

export interface Ignored {
  readonly kind: 'ignored';
  readonly reason: IgnoredReason;
}

export type Heard = Ask | Claim | RouterSolicited | OwnFrame | Sighting | Ignored;
