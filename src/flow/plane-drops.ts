/** Why the data path of an LNS or a LAC drops packets: the word that `show drops` prints, and what it means. */
import { STATISTIC } from './session-layout.js';

export interface PlaneDrop {
  readonly reason: string;
  /** Word of the workers' statistics. */
  readonly statistic: number;
  readonly description: string;
}

const drop = (statistic: number, reason: string, description: string): PlaneDrop => ({
  reason,
  statistic,
  description,
});

export const PLANE_DROPS: readonly PlaneDrop[] = [
  drop(STATISTIC.dropMalformed, 'malformed', 'a datagram that has no tunnel header, or whose lengths are not so'),
  drop(STATISTIC.dropVersion, 'version', 'an older, newer or other version of the protocol, which is not spoken here'),
  drop(STATISTIC.dropUnknownSession, 'unknown-session', 'data for a tunnel or session that is not there'),
  drop(STATISTIC.dropWrongPeer, 'wrong-peer', 'data from another address or port than the tunnel’s far end'),
  drop(STATISTIC.dropClosed, 'session-closed', 'data of a session that is being closed or has moved away'),
  drop(STATISTIC.dropSequence, 'sequence', 'a data message whose sequence number was seen before or is too old'),
  drop(STATISTIC.dropSequenceMissing, 'sequence-missing', 'no sequence number where the session requires one'),
  drop(STATISTIC.dropNetworkDown, 'network-down', 'an IP packet while IPCP or IPv6CP is not open'),
  drop(STATISTIC.dropMalformedPacket, 'malformed-packet', 'what PPP calls an IP packet is none'),
  drop(STATISTIC.dropSpoofed, 'spoofed', 'a subscriber used a source address that is not its own'),
  drop(STATISTIC.dropTooBig, 'too-big', 'a packet longer than the subscriber takes; its sender is told'),
  drop(STATISTIC.dropNoRoute, 'no-subscriber', 'a packet from the network to an address that no subscriber has'),
  drop(STATISTIC.dropTunFull, 'tun-refused', 'the TUN device took no more'),
  drop(STATISTIC.dropSendFailed, 'send-failed', 'the kernel refused to send'),
  drop(STATISTIC.dropHoldFull, 'hold-full', 'a session on hold had as many bytes waiting as are allowed'),
  drop(
    STATISTIC.dropHoldExpired,
    'hold-expired',
    'a packet waited for longer than a hold may last, or its session ended',
  ),
  drop(STATISTIC.dropPuntFull, 'punt-full', 'a message for the control plane while it was behind with reading'),
  drop(STATISTIC.dropNoTunnel, 'no-tunnel', 'a customer’s data before its session had a tunnel'),
  drop(STATISTIC.dropWrongMac, 'wrong-mac', 'a PPPoE frame from another MAC address than the session’s'),
  drop(STATISTIC.dropTruncated, 'truncated', 'a datagram longer than the receive buffer'),
  drop(STATISTIC.dropLinkLocal, 'link-local', 'a link-local or multicast packet that nobody here answers'),
  drop(STATISTIC.dropReceiveError, 'receive-error', 'a socket reported an error instead of a datagram'),
];

/** Words of the statistics that are no drops, with the names that metrics and `show workers` use. */
export const PLANE_COUNTERS = {
  datagramsIn: STATISTIC.datagramsIn,
  datagramsOut: STATISTIC.datagramsOut,
  packetsFromTun: STATISTIC.packetsFromTun,
  packetsToTun: STATISTIC.packetsToTun,
  framesFromAccess: STATISTIC.framesFromAccess,
  framesToAccess: STATISTIC.framesToAccess,
  punted: STATISTIC.punted,
  turns: STATISTIC.turns,
  held: STATISTIC.held,
  flushed: STATISTIC.flushed,
  sendCalls: STATISTIC.sendCalls,
  receiveCalls: STATISTIC.receiveCalls,
} as const;
