/** One subscriber's session: its call, its PPP link, what it was granted, and its place in the data path. */
import type { AuthMethod } from '../../protocol/ppp/options.js';
import type { PppLink } from '../../protocol/ppp/link.js';
import type { L2tpSession } from '../../protocol/l2tp/session.js';
import type { SessionCounters, SessionRoute } from '../../flow/session-table.js';
import { formatWords } from '../../wire/address.js';
import type { CallFacts } from './authenticator.js';
import type { Grant } from './grant.js';
import type { Lease } from './pools.js';

/** `call`: the call is not connected yet. */
export type SubscriberState = 'call' | 'link' | 'authenticate' | 'network' | 'up' | 'closing';

/** Why a session ended, for people, events and accounting. */
export type EndReason =
  | 'subscriber'
  | 'lac'
  | 'lost-link'
  | 'authentication'
  | 'no-address'
  | 'no-agreement'
  | 'idle'
  | 'timeout'
  | 'replaced'
  | 'operator'
  | 'limit'
  | 'shutdown'
  | 'tunnel'
  | 'error';

/** Frames that came before the call was connected and are given to PPP then. */
const EARLY_LIMIT = 8;

export class Subscriber {
  state: SubscriberState = 'call';
  link: PppLink | null = null;
  grant: Grant | null = null;
  method: AuthMethod | null = null;
  ipv4: Lease | null = null;
  prefix: Lease | null = null;
  /** Routes that the host has for it. */
  hostRoutes: readonly SessionRoute[] = [];
  /** CALL_FLAG bits that the data path has. */
  flags = 0;
  ipv4Up = false;
  ipv6Up = false;
  /** Interface ids of the link, when IPv6CP is open. */
  interfaceId: Uint8Array | null = null;
  /** When the next router advertisement is due; Infinity never. */
  advertiseAt = Number.POSITIVE_INFINITY;
  advertisedAt = Number.NEGATIVE_INFINITY;
  /** When PPP came up, for time-outs; Infinity before. */
  timeoutAt = Number.POSITIVE_INFINITY;
  idleSeconds = 0;
  interimAt = Number.POSITIVE_INFINITY;
  /** Accounting has begun. */
  accounted = false;
  /** Why it ends; null: whoever ends it says. */
  ending: EndReason | null = null;
  /** Counters of another LNS that had the session before. */
  readonly before = { packetsIn: 0, bytesIn: 0, packetsOut: 0, bytesOut: 0 };
  early: Uint8Array[] | null = [];
  /** It stands in the list of those to be looked at. */
  dirty = false;

  constructor(
    readonly session: L2tpSession,
    /** Place in the session table. */
    readonly slot: number,
    /** Monotonic seconds, and Unix milliseconds, of its beginning. */
    public since: number,
    public sinceMs: number,
    readonly call: CallFacts,
  ) {}

  get user(): string | null {
    return this.grant?.user ?? null;
  }

  /** Keeps what came too early; false: too much did. */
  keep(frame: Uint8Array): boolean {
    if (this.early === null || this.early.length >= EARLY_LIMIT) return false;
    this.early.push(frame);
    return true;
  }

  /** With those of the LNS that had it before. */
  totals({ packetsIn, bytesIn, packetsOut, bytesOut }: SessionCounters): typeof this.before {
    const { before } = this;
    return {
      packetsIn: before.packetsIn + packetsIn,
      bytesIn: before.bytesIn + bytesIn,
      packetsOut: before.packetsOut + packetsOut,
      bytesOut: before.bytesOut + bytesOut,
    };
  }
}

/** What is known of a call at its beginning. */
export function callFactsOf(
  { tunnel, localId, attributes }: L2tpSession,
  own: { readonly slot: number; readonly accountingId: string; readonly localAddress: string },
): CallFacts {
  return {
    tunnelId: tunnel.localId,
    sessionId: localId,
    peerAddress: tunnel.peer.address,
    peerHostName: tunnel.hostName,
    localAddress: own.localAddress,
    called: attributes.called ?? null,
    calling: attributes.calling ?? null,
    accountingId: own.accountingId,
    port: own.slot,
  };
}

/** Fields of its events. */
export function factsOf({ session, call, user, ipv4 }: Subscriber): Record<string, string | number | null> {
  return {
    user,
    address: ipv4 === null ? null : formatWords(ipv4.words),
    peer: call.peerAddress,
    tunnelId: session.tunnel.localId,
    sessionId: session.localId,
    calling: call.calling,
  };
}

/** When it has been idle for too long, if nothing more comes; `seen`: when the last data came or went. */
export function idleAt({ since, idleSeconds }: Subscriber, seen: number): number {
  return Math.max(since, seen) + idleSeconds;
}

/** When something of it is due next; Infinity never. */
export function nextOf(subscriber: Subscriber, seen: number): number {
  const { link, timeoutAt, interimAt, advertiseAt, idleSeconds } = subscriber;
  const linkAt = link?.nextTime ?? Number.POSITIVE_INFINITY;
  const idle = idleSeconds > 0 ? idleAt(subscriber, seen) : Number.POSITIVE_INFINITY;
  return Math.min(linkAt, timeoutAt, interimAt, advertiseAt, idle);
}
