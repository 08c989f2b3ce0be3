/**
 * What a gateway group is told, and what it tells: options, actions, events and rows. Times are seconds; `now` is a
 * monotonic clock that the caller reads. Addresses are words of wire/address.ts; the group, its members and forwarders
 * are numbers.
 */
import type { AddressWords } from '../wire/address.js';
import type { Mac, MacScheme } from './mac.js';

/** `master`: every host gets the master, so that one member works and the others stand by. */
export type Algorithm = 'round-robin' | 'weighted' | 'host' | 'least-load' | 'master';
export const ALGORITHMS: readonly Algorithm[] = ['round-robin', 'weighted', 'host', 'least-load', 'master'];

export interface RebalanceOptions {
  /** What is made even: the loads that the gateways report, or the numbers of hosts in proportion to the weights. */
  readonly by: 'load' | 'hosts';
  /** Seconds between two looks at the load. */
  readonly interval: number;
  /** Hosts moved in one look at most. */
  readonly hosts: number;
  /** Difference of load (0…1) between the busiest and the idlest below which nothing moves. */
  readonly threshold: number;
}

export interface RouterAdvertisementOptions {
  /** Seconds between two periodic advertisements at most. */
  readonly interval: number;
  /** Router lifetime in seconds, 0…9000. */
  readonly lifetime: number;
  readonly managed: boolean;
  readonly other: boolean;
  /** 0: not told. */
  readonly mtu: number;
  readonly prefixes: readonly {
    readonly prefix: AddressWords;
    readonly length: number;
    readonly onLink: boolean;
    readonly autonomous: boolean;
    readonly validLifetime: number;
    readonly preferredLifetime: number;
  }[];
  /** Networks that the group leads to (RFC 4191); none when absent. */
  readonly routes?: readonly { readonly prefix: AddressWords; readonly length: number }[];
  readonly resolvers: readonly AddressWords[];
}

/** What a reload may change while the group runs. */
export interface GroupSettings {
  /** 1…254; a tie goes to the higher own address. */
  readonly priority: number;
  /** A better member takes the office from a living master after so many seconds; null: only when the master ends. */
  readonly preempt: { readonly delay: number } | null;
  /** Share of the hosts, ≥ 0, that `weighted`, `host` and `least-load` aim at; 0: is given no hosts. */
  readonly weight: number;
  readonly algorithm: Algorithm;
  /** A known host keeps its gateway as long as that is served. */
  readonly sticky: boolean;
  /** Who sends a reply: the master itself, or the port of the chosen gateway. */
  readonly replies: 'master' | 'forwarder';
  /** Who serves the virtual MAC of a dead gateway. */
  readonly takeover: 'master' | 'least-loaded';
  /** Seconds after which a dead gateway's hosts are redistributed; Infinity: by command only. */
  readonly permanentAfter: number;
  /** Seconds after which a dead gateway's virtual MAC is given out no more. */
  readonly redirect: number;
  /** Seconds after which it is served no more. */
  readonly timeout: number;
  readonly return: 'gradual' | 'stay' | 'at-once';
  readonly rebalance: RebalanceOptions | null;
  /** Seconds without a sign of a host until it is forgotten. */
  readonly hostIdle: number;
  /** Requests a second and at once, of one source. */
  readonly perSource: { readonly rate: number; readonly burst: number };
  readonly advertise: RouterAdvertisementOptions | null;
}

export interface GroupOptions extends GroupSettings {
  readonly name: string;
  /** 1…65535; with `scheme: cisco` at most 1023. */
  readonly group: number;
  /** Number of this member and of its forwarder, 1…255. */
  readonly number: number;
  readonly scheme: MacScheme;
  /** MAC of the port. */
  readonly mac: Uint8Array;
  /** Own address on the segment, which breaks ties; null: it has none, and loses them. */
  readonly ownAddress: AddressWords | null;
  /** The shared addresses, all members the same ones. */
  readonly addresses: readonly AddressWords[];
  /** Secret of the group. */
  readonly key: Uint8Array;
  /** Seconds between two adverts, 0.02…10. */
  readonly interval: number;
  /** Signs of life in a row that must be missing, 2…10. */
  readonly losses: number;
  /** Hosts remembered at most. */
  readonly hostLimit: number;
  /** Random bytes: incarnation and ids. */
  readonly random: (count: number) => Uint8Array;
}

export const GROUP_DEFAULTS = {
  scheme: 'local',
  priority: 100,
  preempt: { delay: 5 },
  weight: 100,
  algorithm: 'weighted',
  sticky: true,
  replies: 'master',
  takeover: 'master',
  permanentAfter: 30,
  redirect: 600,
  timeout: 14_400,
  return: 'gradual',
  rebalance: null,
  hostIdle: 14_400,
  perSource: { rate: 50, burst: 100 },
  advertise: null,
  interval: 0.1,
  losses: 3,
  hostLimit: 4096,
} as const satisfies Omit<
  GroupOptions,
  'name' | 'group' | 'number' | 'mac' | 'ownAddress' | 'addresses' | 'key' | 'random'
>;

/** Own load, as the caller measures it. */
export interface GatewayLoad {
  /** 0…1 of what the gateway can do. */
  readonly share: number;
  readonly bitsPerSecond: number;
  readonly packetsPerSecond: number;
  /** Bytes and packets that came for each virtual MAC held, since it was first held. */
  readonly perForwarder?: ReadonlyMap<number, { readonly bytes: number; readonly packets: number }>;
}

export interface Tracking {
  /** Taken from the priority; what is left is at least 1. */
  readonly priorityLoss: number;
  /** Taken from the weight; what is left is at least 0. */
  readonly weightLoss: number;
  /** False: it cannot forward; another serves its virtual MAC. */
  readonly able: boolean;
  /** What is wrong, for people. */
  readonly reasons: readonly string[];
}

/**
 * Which virtual MACs this gateway holds. `hold`: its device is up and takes the frames for it. `serve`: this gateway is
 * the one whom the switches should bring them to; without it, it takes what comes astray (the master stands in for all).
 * Idempotent: the last one of a forwarder counts.
 */
export interface ForwarderAction {
  readonly kind: 'hold' | 'let-go';
  readonly number: number;
  readonly mac: Uint8Array;
  readonly serve: boolean;
}

/** listen: not to be elected yet. backup: may succeed. master: answers. resigned: by command or stopped, forwards on. */
export type MemberState = 'listen' | 'backup' | 'master' | 'resigned' | 'stopped';

export type GatewayEventKind =
  | 'state'
  | 'master'
  | 'member-up'
  | 'member-down'
  | 'member-unable'
  | 'member-able'
  | 'member-resigned'
  | 'forwarder'
  | 'permanent'
  | 'return'
  | 'moves'
  | 'duplicate-number'
  | 'foreign-group'
  | 'split-brain'
  | 'one-way'
  | 'address-conflict'
  | 'frozen'
  | 'table-full'
  | 'flood';

export interface GatewayEvent {
  readonly kind: GatewayEventKind;
  readonly at: number;
  /** Member or forwarder concerned; 0: none. */
  readonly number: number;
  /** Station concerned, or null. */
  readonly mac: Mac | null;
  /** One sentence for people. */
  readonly text: string;
}

export interface GroupStatus {
  readonly name: string;
  readonly group: number;
  readonly number: number;
  readonly state: MemberState;
  /** Whom this member takes for master; 0: nobody. */
  readonly master: number;
  /** Counts the masters of the group. */
  readonly term: number;
  /** Changes of the host table in this term. */
  readonly version: number;
  readonly hosts: number;
  readonly addresses: readonly AddressWords[];
  readonly since: number;
}

export interface MemberRow {
  readonly number: number;
  readonly self: boolean;
  readonly alive: boolean;
  /** Its messages are proven to be of now: they list ours. */
  readonly verified: boolean;
  readonly state: MemberState;
  readonly master: boolean;
  readonly priority: number;
  readonly weight: number;
  readonly able: boolean;
  readonly reasons: readonly string[];
  /** 0…1. */
  readonly load: number;
  readonly bitsPerSecond: number;
  readonly packetsPerSecond: number;
  readonly address: AddressWords | null;
  readonly mac: Mac;
  /** Seconds since it was last heard; 0 for this member itself. */
  readonly age: number;
  readonly term: number;
  readonly version: number;
}

/** active: by its owner. taken-over: by another, and still given out. draining: served, not given out. idle: not served. */
export type ForwarderState = 'active' | 'taken-over' | 'draining' | 'idle';

export interface ForwarderRow {
  readonly number: number;
  readonly mac: Mac;
  readonly state: ForwarderState;
  /** 0: nobody. */
  readonly server: number;
  readonly givenOut: boolean;
  /** What counts for new hosts now: rebalancing takes some off while its gateway is busier than most. */
  readonly weight: number;
  readonly load: number;
  readonly hosts: number;
  /** Does this member hold it, and serve it? */
  readonly held: boolean;
  readonly served: boolean;
  readonly bytes: number;
  readonly packets: number;
  /** Seconds in this state. */
  readonly age: number;
}

export interface HostRow {
  readonly mac: Mac;
  readonly addresses: readonly AddressWords[];
  readonly forwarder: number;
  /** Who serves that forwarder now. */
  readonly server: number;
  /** The gateway that it was taken from by a failure and goes back to; 0: none. */
  readonly home: number;
  /** It asked more than once. */
  readonly confirmed: boolean;
  /** Seconds since it was given this forwarder, and since it was last seen to ask. */
  readonly age: number;
  readonly idle: number;
}

export interface HostFilter {
  readonly forwarder?: number;
  readonly mac?: Mac;
  readonly limit?: number;
}

/** What a command comes to: `ok`, or a sentence that says why not. */
export type CommandResult =
  | { readonly ok: true; readonly hosts: number }
  | { readonly ok: false; readonly why: string };

export interface GroupOutput {
  /** Ethernet frames to send, in order. */
  readonly frames: Uint8Array[];
  readonly actions: ForwarderAction[];
  readonly events: GatewayEvent[];
}
