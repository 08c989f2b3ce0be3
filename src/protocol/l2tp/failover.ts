/**
 * Which sessions stand at both ends: FSQ and FSR with Failover Session State AVPs, RFC 4951 §3.3 and §5.4. An AVP names
 * its sender's id first. In an answer the sender's id is 0 where it has no such session.
 */
import type { AvpInput } from '../../tunnels/l2tp/avp.js';
import { AVP_FAILOVER_SESSION } from '../../tunnels/l2tp/avp-table.js';
import type { L2tpMessage } from '../../tunnels/l2tp/message.js';
import { FSQ, FSR } from '../../tunnels/l2tp/message-table.js';
import type { SessionPair } from './events.js';
import type { L2tpSession } from './session.js';
import type { L2tpTunnel } from './tunnel.js';

/** 16 bytes each: a message stays below 1,100 bytes, in any path's packet. */
const PAIRS_PER_MESSAGE = 64;

const stateAvp = (session: number, remoteSession: number): AvpInput => ({
  type: AVP_FAILOVER_SESSION,
  mandatory: true,
  value: { session, remoteSession },
});

/** False: too much waits to be sent; what was queued before stays queued. */
export function sendQueries(tunnel: L2tpTunnel, sessions: Iterable<L2tpSession>): boolean {
  let avps: AvpInput[] = [];
  for (const { localId, peerId } of sessions) {
    avps.push(stateAvp(localId, peerId));
    if (avps.length < PAIRS_PER_MESSAGE) continue;
    if (!tunnel.sendControl({ type: FSQ, avps }, false)) return false;
    avps = [];
  }
  return avps.length === 0 || tunnel.sendControl({ type: FSQ, avps }, false);
}

/** 64 sessions each: all that a tunnel can have. */
const QUERIES_LIMIT = 1024;

/** Queries (FSQ) of this tunnel are kept unanswered: their sessions are about to be put into it. */
export function deferQueries(tunnel: L2tpTunnel): void {
  tunnel.queries ??= [];
}

/** From now on, and those that were kept, they are answered by what stands. */
export function answerQueries(tunnel: L2tpTunnel): void {
  const kept = tunnel.queries;
  tunnel.queries = null;
  for (const query of kept ?? []) receiveFailover(tunnel, query);
}

interface Pair {
  readonly theirs: number;
  readonly ours: number;
}

function pairsOf(message: L2tpMessage): Pair[] {
  const pairs: Pair[] = [];
  for (const { vendor, type, value } of message.avps) {
    if (vendor !== 0 || type !== AVP_FAILOVER_SESSION || value === null || typeof value !== 'object') continue;
    if (value instanceof Uint8Array) continue;
    pairs.push({ theirs: Number(value.session), ours: Number(value.remoteSession) });
  }
  return pairs;
}

export function receiveFailover(tunnel: L2tpTunnel, message: L2tpMessage): void {
  if (message.type === FSQ && tunnel.queries !== null && tunnel.queries.length < QUERIES_LIMIT) {
    tunnel.queries.push(message);
    return;
  }
  const kept: L2tpSession[] = [];
  const lost: SessionPair[] = [];
  const answers: AvpInput[] = [];
  for (const { theirs, ours } of pairsOf(message)) {
    const session = tunnel.sessions.get(ours);
    const stands = session?.state === 'established' && session.peerId === theirs && theirs !== 0;
    if (stands) kept.push(session);
    else lost.push({ localId: ours, peerId: theirs });
    answers.push(stateAvp(stands ? ours : 0, theirs));
  }
  if (message.type === FSR) return tunnel.host.emit({ type: 'failover-answer', tunnel, kept, lost });
  tunnel.sendControl({ type: FSR, avps: answers });
  tunnel.host.emit({ type: 'failover-query', tunnel, kept, lost });
}
