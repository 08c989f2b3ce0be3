/** A call's row in the data path, before it has addresses. */
import type { LnsConfig } from '../../config/lns.js';
import { CALL_FLAG } from '../../flow/session-layout.js';
import type { SessionRow, SessionTunnel } from '../../flow/session-table.js';
import type { L2tpSession } from '../../protocol/l2tp/session.js';
import type { LcpValues } from '../../protocol/ppp/events.js';
import { parseAddress } from '../../wire/address.js';

/** IPv4 and TCP without options. */
const HEADERS = 40;

export function rowOf(session: L2tpSession, config: LnsConfig): SessionRow {
  return {
    kind: 'lns',
    state: 'forward',
    tunnel: tunnelOf(session),
    access: null,
    flags: callFlags(session, config),
    ipv4: 0,
    prefix: null,
    routes: [],
    mru: 0,
    clampMss: 0,
  };
}

/** What a subscriber takes, once its link has said so. */
export function limitsOf(mru: number, { ppp }: LnsConfig): { readonly mru: number; readonly clampMss: number } {
  // A subscriber that may send less than it takes counts, too: one MSS is for both directions.
  return { mru, clampMss: ppp.clampMss ?? Math.min(mru, ppp.mru) - HEADERS };
}

/** Where its data comes from and goes to. */
export function tunnelOf({ tunnel, localId, peerId }: L2tpSession): SessionTunnel {
  return {
    socket: tunnel.peer.socket,
    address: parseAddress(tunnel.peer.address) ?? [0, 0, 0, 0],
    port: tunnel.peer.port,
    localTunnelId: tunnel.localId,
    localSessionId: localId,
    peerTunnelId: tunnel.peerId,
    peerSessionId: peerId,
  };
}

/** CALL_FLAG bits of the call itself. ICCN says whether data has sequence numbers. */
export function callFlags(session: L2tpSession, config: LnsConfig): number {
  let flags = CALL_FLAG.checkPeer;
  if (config.sessions.dropSpoofed) flags |= CALL_FLAG.antiSpoof;
  if (session.sequencingRequired) flags |= CALL_FLAG.sendSequence | CALL_FLAG.needSequence;
  else if (config.tunnels.alwaysSequence) flags |= CALL_FLAG.sendSequence;
  return flags;
}

/** With what the subscriber's LCP lets us leave out. */
export function linkFlags(flags: number, peer: Pick<LcpValues, 'acfc' | 'pfc'>): number {
  let all = flags & ~(CALL_FLAG.compressAddress | CALL_FLAG.compressProtocol);
  if (peer.acfc) all |= CALL_FLAG.compressAddress;
  if (peer.pfc) all |= CALL_FLAG.compressProtocol;
  return all;
}
