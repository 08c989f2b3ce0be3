/** What the generator has to say at its end: one plain object, which is the JSON output too. */
import type { TimeFigures } from './histogram.js';

export interface Failure {
  /** How far the call had come: tunnel, l2tp, lcp, authentication, network; or up: it was lost. */
  readonly stage: string;
  /** `CDN 4/0 no addresses`, `authentication-failed`, `silence` … */
  readonly reason: string;
  readonly count: number;
}

export interface TrafficResult {
  readonly name: string;
  /** Of the way there and back (ping), or of one way (pairs). */
  readonly kind: 'ping' | 'pairs';
  readonly sent: number;
  readonly received: number;
  readonly lost: number;
  readonly lossPercent: number;
  /** Received after one that was sent later, or twice. */
  readonly outOfOrder: number;
  readonly packetsPerSecond: number;
  readonly latencyMs: TimeFigures | null;
  /**
   * The longest time of each session without a packet of this stream: what an outage was for it, as long as it sends
   * steadily; count: sessions. For `pairs` it is kept by the sender whose packets did not arrive.
   */
  readonly gapMs: TimeFigures | null;
}

export interface GeneratorResults {
  readonly tunnels: { readonly asked: number; readonly up: number; readonly setupMs: TimeFigures | null };
  readonly sessions: {
    readonly asked: number;
    /** Calls that came up, those dialled again included. */
    readonly up: number;
    readonly failed: number;
    /** Calls that were up and ended without our doing. */
    readonly lost: number;
    /** Up at the end of the run. */
    readonly held: number;
    /** Mean from the first call's beginning to the last one's end, and of the best whole second. */
    readonly perSecond: number;
    readonly bestSecond: number;
    /** From the ICRQ to our ICCN, and from the ICRQ to the address. */
    readonly l2tpMs: TimeFigures | null;
    readonly setupMs: TimeFigures | null;
  };
  readonly failures: readonly Failure[];
  readonly traffic: readonly TrafficResult[];
  readonly moves: {
    /** Tunnels that moved to another LNS, and that could not. */
    readonly moved: number;
    readonly failed: number;
    /** Sessions that the other LNS did not know. */
    readonly lostSessions: number;
    /** Frames for which there was no room while they had to wait. */
    readonly notHeld: number;
  };
  /** How much of a core the generator's own thread used: near 100 its figures are its own limits. */
  readonly busyPercent: number;
  /** Packets that the generator itself had to drop, by reason. */
  readonly ownDrops: Readonly<Record<string, number>>;
  readonly seconds: number;
}
