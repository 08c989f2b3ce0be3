/** What `show` prints of a LAC. */
import type { LacPlaceRow, LacTunnelRow, SessionRow } from '../../ops/endpoint.js';
import type { L2tpTunnel } from '../../protocol/l2tp/tunnel.js';
import type { SessionCounters } from '../../flow/session-table.js';
import type { LacCall } from './call.js';
import type { TunnelKeeper, TunnelNote } from './tunnel-keeper.js';

const SLICE = 200;

/** Rows in slices, so that the rest of the process has its turns in between. */
export function* sliced<T>(rows: Iterable<T>): Iterable<readonly T[]> {
  let slice: T[] = [];
  for (const row of rows) {
    slice.push(row);
    if (slice.length < SLICE) continue;
    yield slice;
    slice = [];
  }
  if (slice.length > 0) yield slice;
}

export function* tunnelRows(
  tunnels: Iterable<L2tpTunnel>,
  now: number,
  only: { readonly tunnel?: number; readonly client?: string },
): Iterable<LacTunnelRow> {
  for (const tunnel of tunnels) {
    if (only.tunnel !== undefined && only.tunnel !== tunnel.localId) continue;
    const note = tunnel.userData as TunnelNote | null;
    const row = {
      tunnelId: tunnel.localId,
      farEndAddress: tunnel.peer.address,
      farEndPort: tunnel.peer.port,
      farEndTunnelId: tunnel.peerId === 0 ? null : tunnel.peerId,
      lns: note?.target.name ?? null,
      farEndHostName: tunnel.hostName === '' ? null : tunnel.hostName,
      state: tunnel.state,
      sessions: tunnel.sessions.size,
      ageSeconds: note === null ? 0 : Math.round(now - note.openedAt),
    };
    let isEmpty = true;
    for (const session of tunnel.sessions.values()) {
      const call = session.userData as LacCall | null;
      if (call === null) continue;
      isEmpty = false;
      if (only.client !== undefined && only.client !== call.pppoe.client) continue;
      yield { client: call.pppoe.client, clientPort: clientPort(call), ...row };
    }
    if (isEmpty && only.client === undefined) yield { client: null, clientPort: null, ...row };
  }
}

function clientPort({ pppoe }: LacCall): string {
  return `${pppoe.port.name}:${pppoe.id}`;
}

export interface CallFigures {
  counters(slot: number): SessionCounters;
  lastSeen(slot: number): number;
}

export function* sessionRows(
  calls: Iterable<LacCall>,
  figures: CallFigures,
  now: number,
  only: { readonly tunnel?: number; readonly session?: number; readonly user?: string; readonly client?: string },
): Iterable<SessionRow & { client: string; clientPort: string; service: string }> {
  for (const call of calls) {
    const { session, pppoe } = call;
    if (only.tunnel !== undefined && session?.tunnel.localId !== only.tunnel) continue;
    if (only.session !== undefined && session?.localId !== only.session) continue;
    if (only.user !== undefined && call.user !== only.user) continue;
    if (only.client !== undefined && pppoe.client !== only.client) continue;
    const counters = figures.counters(call.slot);
    const seen = Math.max(figures.lastSeen(call.slot), call.since);
    yield {
      client: pppoe.client,
      clientPort: clientPort(call),
      user: call.user,
      service: pppoe.service,
      peer: session === null ? '' : `${session.tunnel.peer.address}:${session.tunnel.peer.port}`,
      tunnelId: session?.tunnel.localId ?? 0,
      sessionId: session?.localId ?? 0,
      peerTunnelId: session?.tunnel.peerId ?? null,
      peerSessionId: session?.peerId ?? null,
      state: call.state,
      address: null,
      prefix: null,
      callingNumber: call.calling,
      calledNumber: call.called,
      authentication: call.authentication,
      mtu: pppoe.maxPayload,
      packetsIn: counters.packetsIn,
      packetsOut: counters.packetsOut,
      bytesIn: counters.bytesIn,
      bytesOut: counters.bytesOut,
      dropped: counters.spoofed + counters.sequence + counters.tooBig + counters.hold + counters.other,
      ageSeconds: Math.round(now - call.since),
      idleSeconds: Math.max(0, Math.round(now - seen)),
    };
  }
}

export function* placeRows(keeper: TunnelKeeper, now: number): Iterable<LacPlaceRow> {
  for (const [lns, { calls, failures, failedUntil, reason }] of keeper.places()) {
    yield { lns, state: failedUntil > now ? 'failed' : 'up', calls, failures, reason: reason === '' ? null : reason };
  }
}
