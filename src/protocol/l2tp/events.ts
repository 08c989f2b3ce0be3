/** What an endpoint tells whoever owns it, in the order in which it happened. */
import type { L2tpMessage } from '../../tunnels/l2tp/message.js';
import type { DisconnectCause } from './codes.js';
import type { L2tpSession } from './session.js';
import type { L2tpTunnel } from './tunnel.js';

/** Who ended a tunnel: `silence`: something was never acknowledged; `timeout`: it was not set up in time; `tie`: it lost to the peer's. */
export type TunnelEnd = 'peer' | 'us' | 'silence' | 'timeout' | 'tie' | 'replaced';
/** Who ended a call; `tunnel`: it went with its tunnel. */
export type SessionEnd = 'peer' | 'us' | 'tunnel' | 'timeout';

/** A pair of session ids of a Failover Session State AVP (RFC 4951 §5.4), as seen from here; an id of 0: not there. */
export interface SessionPair {
  readonly localId: number;
  readonly peerId: number;
}

export type L2tpEvent =
  /** A peer dials: `accept` or `refuse` the tunnel. Its names and AVPs are known; its secret is proved at tunnel-up. */
  | { readonly type: 'tunnel-request'; readonly tunnel: L2tpTunnel }
  | { readonly type: 'tunnel-up'; readonly tunnel: L2tpTunnel }
  /** After the session-down of each of its calls. Codes and text of the StopCCN, 0 and '' without. */
  | {
      readonly type: 'tunnel-down';
      readonly tunnel: L2tpTunnel;
      readonly by: TunnelEnd;
      readonly result: number;
      readonly error: number;
      readonly message: string;
    }
  /** The oldest message has been sent `tries` times, 2 or more, and is not acknowledged. */
  | { readonly type: 'suspect'; readonly tunnel: L2tpTunnel; readonly tries: number }
  /** Acknowledged after all. */
  | { readonly type: 'heard'; readonly tunnel: L2tpTunnel }
  /** The peer asks for a call: `accept` or `refuse` the session. */
  | { readonly type: 'call'; readonly session: L2tpSession }
  /** The peer took our incoming call (ICRP): `connect` it. Of an outgoing call (OCRP) it only says that the LAC dials. */
  | { readonly type: 'call-answered'; readonly session: L2tpSession }
  | { readonly type: 'session-up'; readonly session: L2tpSession }
  | {
      readonly type: 'session-down';
      readonly session: L2tpSession;
      readonly by: SessionEnd;
      readonly result: number;
      readonly error: number;
      readonly message: string;
      readonly cause: DisconnectCause | null;
    }
  /** Set-Link-Info: ACCMs (LNS → LAC). */
  | { readonly type: 'sli'; readonly session: L2tpSession; readonly send: number; readonly receive: number }
  /** WAN-Error-Notify: counters of the line (LAC → LNS). */
  | { readonly type: 'wen'; readonly session: L2tpSession; readonly errors: CallErrors }
  /** A message of a vendor that `vendors` names. `session` is null where its header names none of the tunnel. */
  | {
      readonly type: 'vendor';
      readonly tunnel: L2tpTunnel;
      readonly session: L2tpSession | null;
      readonly message: L2tpMessage;
    }
  /**
   * The peer asked which of these sessions stand (FSQ) and has been answered: `lost` are those that it has and we have
   * not, or with another id; our side of the latter is not touched.
   */
  | {
      readonly type: 'failover-query';
      readonly tunnel: L2tpTunnel;
      readonly kept: readonly L2tpSession[];
      readonly lost: readonly SessionPair[];
    }
  /** The answer to our query (FSR): which of ours stand with the peer, and which do not (nothing is done to them). */
  | {
      readonly type: 'failover-answer';
      readonly tunnel: L2tpTunnel;
      readonly kept: readonly L2tpSession[];
      readonly lost: readonly SessionPair[];
    };

/** Call Errors AVP, RFC 2661 §4.4.6. */
export interface CallErrors {
  readonly crc: number;
  readonly framing: number;
  readonly hardwareOverruns: number;
  readonly bufferOverruns: number;
  readonly timeouts: number;
  readonly alignment: number;
}
