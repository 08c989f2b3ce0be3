/** What the LNS and the part that shares its state with a peer ask of each other. Types only, so that neither waits. */
import type { AvpInput } from '../../tunnels/l2tp/avp.js';
import type { EndpointCommand, EndpointTable, MetricReading } from '../../ops/endpoint.js';
import type { L2tpEndpoint } from '../../protocol/l2tp/endpoint.js';
import type { L2tpEvent } from '../../protocol/l2tp/events.js';
import type { L2tpSession } from '../../protocol/l2tp/session.js';
import type { L2tpTunnel } from '../../protocol/l2tp/tunnel.js';
import type { TunnelProfile } from '../../protocol/l2tp/profile.js';

/** Numbers, text, booleans, null, bytes, lists and plain objects of these. */
export type StateData =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly StateData[]
  | { readonly [name: string]: StateData | undefined };

/** The LNS, as the offload part sees it. */
export interface OffloadHost {
  readonly endpoint: L2tpEndpoint;
  /** Monotonic seconds. */
  now(): number;
  /** Something was done to an engine outside of a turn: a turn soon. */
  wake(): void;
  /** Settings of every tunnel of this LNS, for tunnels between LNSs. */
  readonly profile: TunnelProfile;
  /** Local ids of the tunnels that are up. */
  tunnelIds(): Iterable<number>;
  /** Local ids of a tunnel's sessions whose network is up. */
  sessionIds(tunnelId: number): Iterable<number>;
  describeTunnel(tunnelId: number): StateData;
  describeSession(tunnelId: number, sessionId: number): StateData;
  /** null: the session goes on here; else why not. `silent`: of an adopted tunnel, nothing may be sent. */
  restoreSession(session: L2tpSession, state: StateData, how: { readonly silent: boolean }): string | null;
  /** Without a word: no CDN, no end of accounting. */
  forgetSession(session: L2tpSession): void;
  holdSession(session: L2tpSession): void;
  releaseSession(session: L2tpSession): void;
  /** The tunnel of a session, or the peer of its tunnel, is another one now: data goes there. */
  movedSession(session: L2tpSession): void;
  load(): { readonly sessions: number; readonly tunnels: number; readonly memory: number; readonly cpu: number };
  configuration(): StateData;
  /** Opens a socket for an address at run time (freebind); its index. */
  openSocket(address: string, port: number): number;
}

/** The offload part, as the LNS sees it. Everything is called in turns of the loop. */
export interface LnsOffload {
  /** Merged into those of the LNS. */
  readonly tables: ReadonlyMap<string, EndpointTable>;
  readonly commands: ReadonlyMap<string, EndpointCommand>;
  metrics(): readonly MetricReading[];
  /** Something of a tunnel (session 0) or session is other than before; cheap. */
  changed(tunnelId: number, sessionId: number): void;
  removed(tunnelId: number, sessionId: number): void;
  /** True: the event was about the offload part's own tunnels or messages; nobody else looks at it. */
  event(event: L2tpEvent, now: number): boolean;
  /** How to deal with the peer LNS where it dials; null: the address is somebody else's. */
  profileFor(address: string): TunnelProfile | null;
  /** For SCCRP, or SCCRQ where we dial. */
  avpsFor(tunnel: L2tpTunnel | null): readonly AvpInput[];
  run(now: number): void;
  readonly nextTime: number;
  start(now: number): void;
  /** The process ends in order. */
  stop(): Promise<void>;
}
