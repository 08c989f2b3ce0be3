/**
 * The configuration after validation: every default filled in, every address parsed, every duration in seconds.
 * Deterministic and portable: nothing here depends on the machine. `compile.ts` makes it, the role binds it to
 * interfaces and table indices.
 */
import type { AnnounceConfig } from './announce.js';
import type { ClusterConfig } from './cluster.js';
import type { DesignatorGroups } from './designator-group.js';
import type { CompiledInactivation } from './inactivation.js';
import type { RuleAction, RuleAttributes, RuleLimit } from '../flow/rule-list.js';

/** 4 words, IPv4 mapped (0, 0, 0xffff, a); numbers ≥ 0. */
export type AddressWords = readonly [number, number, number, number];

export interface Prefix {
  readonly words: AddressWords;
  /** 0 … 128, counted over the mapped 128 bits (10.0.0.0/8 is 104). */
  readonly length: number;
  /** As written, for messages and nftables. */
  readonly text: string;
  readonly family: 4 | 6;
}

export type Algorithm =
  | 'round-robin'
  | 'weighted-round-robin'
  | 'least-recent-use'
  | 'least-load'
  | 'least-tunnels'
  | 'least-sessions'
  | 'power-of-two'
  | 'leaky-bucket'
  | 'maglev';
/** What of a request makes related ones go to one server. */
export type GroupBy = 'host-name' | 'realm' | 'calling-number';
export type Protocol = 'l2tp';

/** As written, or where it stands. */
export type Secret = { readonly text: string } | { readonly file: string };

export interface CompiledServerLoad {
  /** null: the common one. */
  readonly secret: Secret | null;
  /** What a load of 1 stands for where a message does not say; null unknown. */
  readonly capacityBits: number | null;
  readonly tunnelLimit: number | null;
  readonly sessionLimit: number | null;
}

export interface LoadFormula {
  readonly traffic: number;
  readonly cpu: number;
  readonly memory: number;
  readonly tunnels: number;
  readonly sessions: number;
  readonly combine: 'mean' | 'max';
}

export interface CompiledLoadStatus {
  readonly listen: { readonly host: string; readonly port: number } | null;
  readonly secret: Secret | null;
  /** Seconds. */
  readonly staleAfter: number;
  readonly clockSkew: number;
  readonly fallback: 'least-tunnels' | 'least-sessions' | 'least-recent-use' | 'none';
  /** Least that one more tunnel is expected to add; 1 is full. */
  readonly tunnelLoad: number;
  readonly formula: LoadFormula;
}

/** All times in seconds. */
export interface CompiledTakeOverDesk {
  readonly listen: { readonly host: string; readonly port: number } | null;
  readonly secret: Secret | null;
  readonly clockSkew: number;
  readonly quiet: number;
  readonly wait: number;
}

export interface CompiledAddress {
  readonly address: string; // canonical text
  readonly words: AddressWords;
  readonly family: 4 | 6;
}

export interface CompiledServer {
  readonly name: string;
  readonly address: string; // canonical text
  readonly words: AddressWords;
  readonly family: 4 | 6;
  readonly port: number;
  /** Where it answers clients from with `reply: direct`; null or absent: `address`. */
  readonly globalAddress?: CompiledAddress | null;
  readonly weight: number;
  readonly loadStatus: CompiledServerLoad;
  /** Name of the server that may take its tunnels over; absent: none. */
  readonly peer?: string | null;
}

export interface CompiledVip {
  readonly name: string;
  readonly address: string;
  readonly words: AddressWords;
  readonly family: 4 | 6;
  readonly port: number;
  readonly protocols: readonly Protocol[];
  readonly algorithm: Algorithm;
  /** leaky-bucket: tunnels a second and at once, for each unit of weight. */
  readonly leakyBucket: { readonly rate: number; readonly burst: number };
  /** Where answers reach the client from (document 001, FIG. 2 and 4); absent: vip. */
  readonly reply?: 'vip' | 'nat' | 'direct';
  /** Answers do not cross this process; absent is false. */
  readonly oneWay?: boolean;
  readonly natAddress?: CompiledAddress | null;
  readonly localAddress?: CompiledAddress | null;
  readonly serverPort: 'expose' | 'hide';
  /** Largest MSS of TCP over IPv4 inside its tunnels, null = any. */
  readonly clampMss?: number | null;
  /** null: ids that are hidden stay hidden. */
  readonly tunnelSecret: string | null;
  readonly hiddenIds: 'affinity' | 'port';
  readonly clientPort: 'shared' | 'distinct';
  /** null or absent: requests are not grouped. */
  readonly groupBy?: GroupBy | null;
  /** null or absent: no server is inactivated by its load. */
  readonly inactivate?: CompiledInactivation | null;
  readonly servers: readonly CompiledServer[];
}

/** A rule's tests are all that it names; an absent test matches everything. First match wins. */
export interface CompiledRule {
  readonly name: string | null;
  readonly action: RuleAction;
  readonly from: readonly Prefix[];
  readonly to: readonly Prefix[];
  /** Names of VIPs: destination is that VIP's address (and, for its tunnel protocol, port). */
  readonly vips: readonly string[];
  /** Tunnel protocols, or IP protocols by name or number. */
  readonly protocols: readonly RuleProtocol[];
  /** Tests of tunnel requests; absent: none. */
  readonly attributes?: RuleAttributes | null;
  /** With the action limit. */
  readonly limit?: RuleLimit | null;
  /** For messages: 'firewall.rules[2]'. */
  readonly path: string;
}
export interface RuleProtocol {
  readonly text: string;
  /** A tunnel protocol (of the VIPs), else null. */
  readonly tunnel: Protocol | null;
  /** IP protocol number, null for a tunnel protocol. */
  readonly number: number | null;
}

export interface InterfaceSpec {
  readonly name: string; // as written: wan0.100
  readonly device: string; // wan0
  readonly vlan: number; // 100, 0 = untagged
}

/** All times in seconds. */
export interface CompiledHealth {
  readonly passive: boolean;
  readonly suspectAfter: number;
  readonly downAfter: number;
  readonly downAfterAlone: number;
  readonly slowStart: number;
  readonly lendFirst: number;
  readonly lendMost: number;
  readonly onDown: {
    readonly close: boolean;
    /** StopCCN's result code and error code, 0 none. */
    readonly result: number;
    readonly error: number;
    /** Tunnels ended per second. */
    readonly pace: number;
  };
  /** null: servers are not checked. */
  readonly active: {
    readonly type: 'l2tp' | 'icmp';
    readonly every: number;
    readonly timeout: number;
    readonly failures: number;
  } | null;
}

export interface CompiledConfig {
  readonly file: string;
  readonly outside: InterfaceSpec;
  readonly inside: InterfaceSpec;
  readonly io: 'auto' | 'xdp' | 'packet';
  readonly offload: boolean;
  /** CPUs that the XDP program spreads hits over, 0 none. */
  readonly spread: number;
  readonly workers: number | 'auto';
  /** What of document 001's cluster this process is; absent: all. */
  readonly part?: 'all' | 'master' | 'nat';
  readonly vips: readonly CompiledVip[];
  /** Groups with other designators; null or absent: none. */
  readonly gateway?: DesignatorGroups | null;
  /** null or absent: this process is a member of none. */
  readonly cluster?: ClusterConfig | null;
  /** null or absent: no routes are made. */
  readonly announce?: AnnounceConfig | null;
  readonly firewall: {
    readonly default: 'allow' | 'deny';
    readonly rules: readonly CompiledRule[];
    /** null: no limit. perSource and burst count requests that would make a new tunnel. */
    readonly requestsPerSecond: number | null;
    readonly burst: number | null;
    readonly halfOpen: number | null;
    readonly policy: {
      /** null: no limit. */
      readonly totalPerSecond: number | null;
      readonly totalBurst: number;
      readonly prefixIpv4: number;
      readonly prefixIpv6: number;
      readonly unknownSources: 'repeat' | 'admit';
      readonly duplicatesMs: number;
    };
  };
  readonly timeouts: { readonly halfOpen: number; readonly idle: number; readonly closing: number }; // seconds
  readonly health: CompiledHealth;
  readonly table: { readonly connections: number };
  readonly loadStatus: CompiledLoadStatus;
  /** Absent: no take-over message is taken. */
  readonly takeOver?: CompiledTakeOverDesk;
  readonly control: { readonly socket: string; readonly http: { readonly host: string; readonly port: number } | null };
  readonly state: { readonly pin: string };
  readonly log: { readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' };
}

/** One finding of `check`. `line` and `column` are 1-based; 0 when the place is unknown. */
export interface ConfigProblem {
  readonly severity: 'error' | 'warning';
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** 'vips.0.servers.1.weight' or '' for the whole file. */
  readonly path: string;
  readonly message: string;
}
