/**
 * The plan: the configuration bound to table indices, as the main thread publishes it to every shard. Plain data that
 * survives a structured clone. A shard replaces its plan as a whole, between two batches.
 */
import type { GroupKey } from '../designation/vip-servers.js';
import type { LoadFallback } from '../designation/vip-servers.js';
import type { RouteSnapshot } from '../flow/route-table.js';
import type { RuleInput } from '../flow/rule-list.js';
import type { FarewellSettings } from './farewell.js';
import type { FollowNotice } from './followers.js';
import type { ProbePlace } from './probe-ear.js';
import type { RePointed, RePointOrder } from './re-pointing.js';

export interface PlanVip {
  /** Index of the VIP cell. */
  readonly index: number;
  readonly name: string;
  /** Index of its address in the addresses segment. */
  readonly address: number;
  readonly port: number;
  /** Names of the tunnel protocols that it takes. */
  readonly protocols: readonly string[];
  readonly algorithm: string;
  /** leaky-bucket: tunnels a second and at once, for each unit of weight. */
  readonly bucket?: { readonly rate: number; readonly burst: number };
  /** least-load: what decides among servers whose load is unknown. */
  readonly loadFallback?: LoadFallback;
  /** The client always sees the VIP's own port. */
  readonly hideServerPort: boolean;
  /** Largest MSS of TCP over IPv4 inside its tunnels, 0 = any. */
  readonly clampMss?: number;
  /** Tunnel secret that its clients and servers share: what they hide of ids can be read. */
  readonly secret?: Uint8Array;
  /** A tunnel whose server hides its id is shown at a port of its own, instead of following the client's other tunnels. */
  readonly hiddenByPort?: boolean;
  /** Where answers reach the client from (document 001, FIG. 2 and 4); absent: vip. */
  readonly reply?: 'vip' | 'nat' | 'direct';
  /** Answers do not cross this process: `direct`, or `nat` in a process that is the master alone. */
  readonly oneWay?: boolean;
  /** Address index of the address that clients see answers come from (`nat`); absent or −1: none. */
  readonly natAddress?: number;
  /** Address index of the address that requests of refusing clients are put to servers from; absent or −1: none. */
  readonly localAddress?: number;
  /** Every tunnel of one client port has a port of its own towards a server. */
  readonly distinctClientPorts?: boolean;
  /** Requests with the same key of this kind go to one server; absent: they are not grouped. */
  readonly groupBy?: GroupKey;
  /** Server cell indices in the order of the configuration. */
  readonly servers: Int32Array;
}

export interface PlanServer {
  /** Index of the server cell. */
  readonly index: number;
  readonly name: string;
  readonly address: number;
  readonly port: number;
}

export interface PlanHealth {
  /** Evidence about servers is collected. */
  readonly passive: boolean;
  /** How tunnels are ended; the pace is one shard's. */
  readonly farewell: FarewellSettings;
}

export interface Plan {
  readonly generation: number;
  /** What of document 001's cluster this process is; absent: all. */
  readonly part?: 'all' | 'master' | 'nat';
  readonly vips: readonly PlanVip[];
  readonly servers: readonly PlanServer[];
  readonly rules: readonly RuleInput[];
  readonly denyByDefault: boolean;
  /** null = no limit. */
  readonly requestsPerSecond: number | null;
  readonly burst: number | null;
  readonly halfOpenLimit: number | null;
  /** A server that is back has its full share of new tunnels after so long. */
  readonly slowStartSeconds?: number;
  readonly policy: PlanPolicy;
  /** A gateway group answers ARP and ND for the VIPs; absent is false. */
  readonly answeredByGroup?: boolean;
  /** Seconds. */
  readonly health: PlanHealth;
  readonly timeouts: { readonly halfOpen: number; readonly idle: number; readonly closing: number };
}

/** Limits of tunnel requests beside those of a source. */
export interface PlanPolicy {
  /** Requests a second of all sources, null = no limit. */
  readonly totalPerSecond: number | null;
  readonly totalBurst: number;
  /** Bits of an address that make one source; IPv6's of 128, IPv4's of 32. */
  readonly prefixIpv4: number;
  readonly prefixIpv6: number;
  /** What a source without a tunnel so far must do while a flood of requests comes. */
  readonly unknownSources: 'repeat' | 'admit';
  /** Copies of a request within so many milliseconds are dropped, 0 = none. */
  readonly duplicatesMs: number;
}

/** A control message of a tunnel that another member of the cluster writes, on its way there. */
export interface ForeignFrame {
  /** Stream that the tunnel belongs to (flow/share-map.ts), −1: it is not known here. */
  readonly stream: number;
  /** Where it arrived, and its FRAME_CHECKSUM_PARTIAL. */
  readonly port: number;
  readonly flags: number;
  /** Its link-layer source, and its IP packet. */
  readonly source: Uint8Array;
  readonly packet: Uint8Array;
}

/** … and as a whole frame, where it has come to. */
export interface MemberFrame {
  readonly port: number;
  readonly flags: number;
  readonly frame: Uint8Array;
}

/** Main thread → shard. */
export type ShardMessage =
  | { readonly type: 'plan'; readonly plan: Plan }
  | { readonly type: 'routes'; readonly routes: RouteSnapshot }
  | { readonly type: 'floating'; readonly ports: readonly number[] /* address index << 16 | port, registered */ }
  | { readonly type: 'floating-forget'; readonly ports: readonly number[] /* no longer registered */ }
  | { readonly type: 'capture'; readonly captures: readonly CaptureFilter[] }
  | { readonly type: 'transmit'; readonly frames: readonly { readonly port: number; readonly frame: Uint8Array }[] }
  | { readonly type: 'release'; readonly server: number /* end every tunnel of this server cell */ }
  | {
      readonly type: 'server-down'; // its requests go elsewhere; its clients are told, after `wait` seconds
      readonly server: number;
      readonly wait?: number;
    }
  | { readonly type: 're-point'; readonly order: RePointOrder }
  | { readonly type: 'heirs'; readonly pairs: readonly (readonly [number, number])[] /* address indices: of, heir */ }
  | { readonly type: 'probe-place'; readonly place: ProbePlace | null /* answers to the active check come there */ }
  | { readonly type: 'server-back'; readonly server: number /* what has not been ended goes on */ }
  | {
      readonly type: 'shared' /* the main thread took streams over, or lost them: what is ours may be more than it was */;
    }
  | {
      readonly type: 'give-way'; // another member has the tunnel of this half-open record, and it stands there
      readonly record: number;
      readonly version: number;
    }
  | { readonly type: 'member-frames'; readonly frames: readonly MemberFrame[] }
  | { readonly type: 'review' /* a server entered another state: look at all tunnels anew */ }
  | { readonly type: 'crash' };

/** Shard → main thread. */
export type ShardNotice =
  | { readonly type: 'up'; readonly shard: number; readonly description: string; readonly adopted: number }
  | { readonly type: 'floating'; readonly ports: readonly number[] /* a server answers from these: please register */ }
  | { readonly type: 'probe-answers'; readonly payloads: readonly Uint8Array[] }
  | { readonly type: 'icmp'; readonly packets: readonly Uint8Array[] /* whole IP packets of our own, please send */ }
  | { readonly type: 'foreign'; readonly frames: readonly ForeignFrame[] }
  | { readonly type: 'followed'; readonly clients: readonly FollowNotice[] }
  | { readonly type: 're-pointed'; readonly done: readonly RePointed[] }
  | { readonly type: 'unresolved'; readonly nextHops: readonly number[] };

/** Which tunnels a capture wants; absent = all. `slot` is the capture's bit in the mask that goes with a frame. */
export interface CaptureFilter {
  readonly slot: number;
  readonly clientTunnelId?: number;
  readonly client?: readonly [number, number, number, number];
  readonly clientPort?: number;
}
