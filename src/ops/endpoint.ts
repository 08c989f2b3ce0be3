/**
 * What the control API and the metrics may ask of a running end of tunnels, an LNS or a LAC. `roles/lns` and `roles/lac`
 * implement it; this folder knows only this face. Rows are flat objects; unknown is null. In is from the subscriber to
 * the network, Out the other way; counts are IP packets and their bytes.
 */
import type { ConfigProblem } from '../config/compiled.js';
import type { EventLog } from './events.js';

export type EndpointRole = 'lns' | 'lac' | 'gateway';

/** `show tunnels` of an LNS. */
export interface LnsTunnelRow {
  /** Address and port of the other end, as its packets come. */
  peer: string;
  peerHostName: string | null;
  /** Address and port here. */
  local: string;
  tunnelId: number;
  peerTunnelId: number | null;
  state: string;
  sessions: number;
  /** Next number to send and next that is expected (RFC 2661 §5.8). */
  ns: number;
  nr: number;
  ageSeconds: number;
}

/**
 * `show tunnels` of a LAC, one row for each client: Tables 2 and 3 of document 001 (client address, tunnel id, far end
 * address and far end tunnel id). A tunnel without clients has one row, whose client is null.
 */
export interface LacTunnelRow {
  /** MAC address, and interface with PPPoE session id: `eth1:17`. */
  client: string | null;
  clientPort: string | null;
  tunnelId: number;
  farEndAddress: string;
  farEndPort: number;
  farEndTunnelId: number | null;
  /** Name of the LNS in the configuration, and as it tells itself. */
  lns: string | null;
  farEndHostName: string | null;
  state: string;
  /** Calls of the tunnel. */
  sessions: number;
  ageSeconds: number;
}

/** `show lns` of a LAC: where calls go to, and how it went. */
export interface LacPlaceRow {
  lns: string;
  state: 'up' | 'failed';
  calls: number;
  failures: number;
  /** Of the last failure. */
  reason: string | null;
}

/** `show sessions` of either end. */
export interface SessionRow {
  user: string | null;
  peer: string;
  tunnelId: number;
  sessionId: number;
  peerTunnelId: number | null;
  peerSessionId: number | null;
  /** Of the call until PPP begins, then of PPP: `link`, `authenticate`, `network`, `up`, `closing`. */
  state: string;
  address: string | null;
  /** Delegated or framed IPv6 prefix. */
  prefix: string | null;
  callingNumber: string | null;
  calledNumber: string | null;
  authentication: string | null;
  mtu: number | null;
  packetsIn: number;
  packetsOut: number;
  bytesIn: number;
  bytesOut: number;
  dropped: number;
  ageSeconds: number;
  idleSeconds: number;
}

export interface PoolRow {
  pool: string;
  family: 4 | 6;
  /** As it is configured. */
  range: string;
  size: number;
  used: number;
  free: number;
  /** Times that nothing was free. */
  exhausted: number;
}

/** Data of a session that was not forwarded, a control message that was refused, and whatever else ended here. */
export interface EndpointDropRow {
  reason: string;
  packets: number;
  description: string;
}

export interface EndpointCounterRow {
  counter: string;
  count: number;
  description: string;
}

export interface EndpointWorkerRow {
  worker: number;
  state: string;
  /** Datagrams, packets and frames that it took in. */
  packets: number;
  restarts: number;
}

/** `show gateways`: members of a group. */
export interface GatewayRow {
  group: string;
  gateway: number;
  /** The gateway that was asked. */
  self: boolean;
  /** `listen`, `backup`, `master`, `resigned`, `stopped`; `dead` when it is not heard. */
  state: string;
  master: boolean;
  alive: boolean;
  /** It has proven that its messages are of now. */
  verified: boolean;
  address: string | null;
  priority: number;
  weight: number;
  /** It can forward; `reasons` says why not, and what costs it priority or weight. */
  able: boolean;
  reasons: string;
  /** 0 … 1. */
  load: number;
  bitsPerSecond: number;
  packetsPerSecond: number;
  virtualMac: string;
  /** Virtual MACs whose frames it takes, as numbers of their owners with commas. */
  serves: string;
  /** Hosts of these. */
  hosts: number;
  /** Seconds since it was last heard. */
  ageSeconds: number;
  term: number;
  version: number;
}

/** `show forwarders`: virtual MACs of a group. */
export interface GatewayForwarderRow {
  group: string;
  forwarder: number;
  virtualMac: string;
  /** `active`, `taken-over`, `draining`, `idle`. */
  state: string;
  /** Gateway that takes its frames; null: none. */
  server: number | null;
  givenOut: boolean;
  weight: number;
  load: number;
  hosts: number;
  /** The gateway that was asked has it, and is its server. */
  held: boolean;
  served: boolean;
  /** Taken in here. */
  bytes: number;
  packets: number;
  ageSeconds: number;
}

/** `show hosts`: hosts and their gateways. */
export interface GatewayHostRow {
  group: string;
  host: string;
  /** With commas. */
  addresses: string;
  /** Whose virtual MAC it was given. */
  gateway: number;
  /** Who takes its frames now; null: nobody. */
  server: number | null;
  virtualMac: string;
  ageSeconds: number;
  idleSeconds: number;
}

/** `show groups`: the gateway groups of a process. */
export interface GatewayGroupRow {
  group: string;
  number: number;
  interface: string;
  gateway: number;
  addresses: string;
  state: string;
  /** null: nobody. */
  master: number | null;
  members: number;
  hosts: number;
  term: number;
  version: number;
  sinceSeconds: number;
}

/** `show cluster`: the bus that members speak on. */
export interface ClusterBusRow {
  kind: 'bus';
  cluster: string;
  /** Of the member that was asked. */
  number: number;
  driver: 'local' | 'udp' | 'nats';
  /** Forwarding goes on when it is `degraded`. */
  state: 'up' | 'degraded';
  reason: string | null;
  /** What this member does for all, with commas. */
  duties: string | null;
}

/** `show cluster`: a member. What it has not told is null. */
export interface ClusterMemberRow {
  kind: 'member';
  number: number;
  name: string | null;
  /** The one that was asked. */
  self: boolean;
  role: 'designator' | 'lns' | 'agent' | null;
  part: 'all' | 'master' | 'nat' | null;
  /** `starting`, `ready`, `unable`, `ending`, or `refused`: connection state is not shared with it. */
  state: string;
  reason: string | null;
  address: string | null;
  version: string | null;
  tunnels: number | null;
  sessions: number | null;
  serversUp: number | null;
  hearsUs: boolean;
  /** Another one after every start. */
  incarnation: string;
  heardSecondsAgo: number;
  /** Since it joined. */
  memberSeconds: number;
}

/** `show cluster`: tunnels that one member told, by its number and shard. */
export interface ClusterStreamRow {
  kind: 'stream';
  origin: number;
  shard: number;
  /** Member that tells them now. */
  writer: number;
  /** The member that was asked. */
  self: boolean;
  /** `current`, `catching-up`, `silent`; of one's own `current` or `waiting`. */
  state: string;
  generation: number;
  position: number;
  tunnels: number;
  sessions: number;
  /** Changes that are to be told, or to be had. */
  waiting: number;
}

/** Narrows a table; a table ignores nothing: what it cannot narrow by is refused. */
export interface TableFilter {
  readonly limit?: number;
  readonly tunnel?: number;
  readonly session?: number;
  readonly user?: string;
  readonly client?: string;
  /** Name of a gateway group. */
  readonly group?: string;
  /** Number of a gateway in its group. */
  readonly gateway?: number;
  /** MAC address of a host, or one of its IP addresses. */
  readonly host?: string;
}

export interface EndpointTable {
  /** For people and for the API's description. */
  readonly description: string;
  /** Fields of the filter that it knows besides `limit`. */
  readonly filters: readonly (keyof TableFilter)[];
  /** All rows that match, in slices of some hundred; the caller stops at `limit`. */
  rows(filter: TableFilter): Iterable<readonly object[]>;
}

/** Something that an operator may ask for: `POST /v1/command/<name>` with a JSON object. */
export interface EndpointCommand {
  readonly description: string;
  /** JSON schema of the body. */
  readonly body: Readonly<Record<string, unknown>>;
  /** The answer, a JSON value. Errors: DesignatorError. */
  run(body: Readonly<Record<string, unknown>>): object | Promise<object>;
}

/** One figure of `/metrics`; figures of one name differ in `reason`. */
export interface MetricReading {
  /** Without the prefix `designator_`; a counter's ends in `_total`. */
  readonly name: string;
  readonly help: string;
  readonly kind: 'gauge' | 'counter';
  readonly value: number;
  readonly reason?: string;
}

export interface ReloadResult {
  readonly ok: boolean;
  readonly problems: readonly ConfigProblem[];
  readonly changes: readonly string[];
}

export interface Endpoint {
  readonly role: EndpointRole;
  readonly events: EventLog;
  /** By their names in `show`: tunnels, sessions, pools, drops, counters, workers, and what a role adds. */
  readonly tables: ReadonlyMap<string, EndpointTable>;
  /** By name; parts of the role add theirs before the API starts. */
  readonly commands: ReadonlyMap<string, EndpointCommand>;
  metrics(): readonly MetricReading[];
  reload(): Promise<ReloadResult>;
  /** Takes calls. */
  ready(): boolean;
  /** Why it does not work, or null. */
  unhealthy(): string | null;
}
