/** One end of a PPP link: LCP, authentication, IPCP and IPv6CP (RFC 1661). Bytes and time in, bytes and events out. */
import type { PppEvent, PppParameters } from './events.js';
import type { NetworkAssignment, PppOptions } from './options.js';
import type { ProxyLcp } from './proxy.js';
import type { PppPhase, PppSnapshot } from './snapshot.js';

/** What `receive` made of a frame. Data is the caller's: the engine only says whether it may pass now. */
export type PppReceived = 'control' | 'ipv4' | 'ipv6' | 'discarded';

export interface AuthResult {
  readonly ok: boolean;
  /** In the answer to the peer. MS-CHAPv2: `S=` and 40 hexadecimal digits, without which it cannot succeed. */
  readonly message?: string;
}

export declare class PppLink {
  constructor(options: PppOptions);
  readonly phase: PppPhase;
  readonly parameters: PppParameters;
  /** Free for the owner. */
  userData: unknown;
  /** Begins LCP. */
  start(now: number): void;
  /** Begins with what a LAC has negotiated; anew where that will not do. False then. */
  startFromProxy(proxy: ProxyLcp, now: number): boolean;
  /** A frame from FF 03 or from the protocol field on, whatever compression leaves of them. */
  receive(frame: Uint8Array, now: number): PppReceived;
  /** Frames to be sent now, each from FF 03 on; runs what is due. */
  output(now: number): Uint8Array[];
  events(): PppEvent[];
  /** When `output` has to be called, if nothing comes before; Infinity: never. */
  readonly nextTime: number;
  authenticated(result: AuthResult, now: number): void;
  /** Server: the addresses. Changing them on an open link negotiates them anew. */
  assign(assignment: NetworkAssignment, now: number): void;
  /** Ends the link in order: Terminate-Request, and `down` when it is answered or nobody answers. */
  terminate(now: number): void;
  /** What a LAC tells the LNS of this call; after `proxy-ready`. */
  proxy(): ProxyLcp;
  snapshot(): PppSnapshot;
  static restore(snapshot: PppSnapshot, options: PppOptions, now: number): PppLink;
}
