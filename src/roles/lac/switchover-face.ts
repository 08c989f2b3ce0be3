/** What moves the calls of a tunnel to another LNS, and what it needs of the LAC: the two faces, types only. */
import type { L2tpEndpoint } from '../../protocol/l2tp/endpoint.js';
import type { L2tpEvent } from '../../protocol/l2tp/events.js';
import type { L2tpSession } from '../../protocol/l2tp/session.js';
import type { L2tpTunnel } from '../../protocol/l2tp/tunnel.js';
import type { EndpointCommand, EndpointTable } from '../../ops/endpoint.js';
import type { AvpInput } from '../../tunnels/l2tp/avp.js';

/** The part of a LAC that follows its LNSs' wishes, and their deaths. */
export interface LacSwitchover {
  /** Before the LAC looks at it. True: nothing is left to be done. */
  event(event: L2tpEvent, now: number): boolean;
  /** For the SCCRQ of a tunnel that the LAC dials. */
  avpsFor(): readonly AvpInput[];
  run(now: number): void;
  readonly nextTime: number;
  readonly commands?: ReadonlyMap<string, EndpointCommand>;
  readonly tables?: ReadonlyMap<string, EndpointTable>;
}

/** Implemented by the LAC. */
export interface MoverHost {
  readonly endpoint: L2tpEndpoint;
  now(): number;
  /** Dials with the settings of `like`, whose calls are to move. Null: the limit of tunnels is reached. */
  open(address: string, port: number, like: L2tpTunnel, avps: readonly AvpInput[]): L2tpTunnel | null;
  /** No more calls get into this tunnel. */
  retire(tunnel: L2tpTunnel): void;
  /** Kept open without calls (true), or an ordinary tunnel again. */
  keep(tunnel: L2tpTunnel, standby: boolean): void;
  /** Established calls. */
  sessions(tunnel: L2tpTunnel): Iterable<L2tpSession>;
  /** What would go into the tunnel is kept. */
  hold(session: L2tpSession): void;
  /** The call is in its new tunnel (moveHere, or `fresh` of adoptSession in place of `old`): data flows there, that which was kept first. */
  resume(session: L2tpSession): void;
  replace(old: L2tpSession, fresh: L2tpSession): void;
  /** What was kept is dropped, the client is told that its session has ended. */
  abandon(session: L2tpSession, reason: string): void;
  /** A turn soon. */
  wake(): void;
}
