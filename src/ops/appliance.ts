/**
 * What the control API, the metrics and the capture may ask of a running designator. `roles/designator` implements it;
 * the ops folder only knows this face. Rows are the contract of DESIGN §5 and §8: flat objects, unknown is null.
 */
import type { ConfigProblem } from '../config/compiled.js';
import type { CaptureFormat } from './capture.js';
import type { Endpoint } from './endpoint.js';
import type { EventLog } from './events.js';
import type { TopAnswer, TopQuery } from './top.js';

export interface VipRow {
  name: string;
  address: string;
  port: number;
  protocols: string;
  algorithm: string;
  tunnels: number;
  sessions: number;
  servers: number;
  serversUp: number;
  /** Where answers reach clients from (document 001, FIG. 2 and 4). */
  reply: 'vip' | 'nat' | 'direct';
  natAddress: string | null;
  /** Clients that go on with the address that answered, … */
  following: number;
  /** … that go on sending to the VIP, … */
  carried: number;
  /** … and that take no answer but the VIP's. */
  refusing: number;
  /** The last of those that do not follow, each with what it does; null: there are none. */
  notFollowing: string | null;
}
/** Document 001's Table 1, one row a tunnel: whom the NAT address stands for towards this far end. */
export interface NatRow {
  vip: string;
  /** The tunnel initiator. */
  farAddress: string;
  farPort: number;
  /** The tunnel endpoint. */
  localAddress: string;
  localPort: number | null;
  /** What the far end sees: the VIP's own address where it takes no other. */
  natAddress: string;
  natPort: number;
  farTunnelId: number | null;
  localTunnelId: number | null;
  server: string;
  sessions: number;
  packetsIn: number;
  packetsOut: number;
  bytesIn: number;
  bytesOut: number;
  state: TunnelRow['state'];
}
/** Document 003's first table, one row a server: what `show vips` prints for people. */
export interface VipMapRow {
  vip: string;
  address: string;
  port: number;
  realAddress: string;
  realPort: number;
  weight: number;
  algorithm: string;
}
export interface ServerRow {
  name: string;
  vip: string;
  address: string;
  port: number;
  state: 'up' | 'slow-start' | 'suspect' | 'down' | 'draining' | 'disabled' | 'inactive';
  weight: number;
  load: number | null;
  tunnels: number;
  sessions: number;
  reason: string | null;
  sinceSeconds: number;
  /** Tunnel requests that it got, since it is known. */
  requests: number;
  /** Its last changes of state, oldest first. */
  history: ServerChange[];
  /** What its last load status message said; null: none came, or it is stale. */
  loadStatus: ServerLoadStatus | null;
}
export interface ServerLoadStatus {
  ageSeconds: number;
  accepting: boolean;
  tunnels: number | null;
  sessions: number | null;
  cpu: number | null;
  memory: number | null;
  packetsIn: number | null;
  packetsOut: number | null;
  bitsIn: number | null;
  bitsOut: number | null;
}
export interface ServerChange {
  /** ISO 8601, UTC. */
  at: string;
  from: string;
  to: string;
  /** Null: the configuration is the whole reason. */
  reason: string | null;
  detail: string | null;
}
export interface TunnelRow {
  vip: string;
  protocol: string;
  client: string;
  clientTunnelId: number | null;
  virtualTunnelId: number | null;
  server: string;
  serverAddress: string;
  serverPort: number | null;
  serverTunnelId: number | null;
  state: 'half-open' | 'established' | 'closing';
  sessions: number;
  packetsIn: number;
  packetsOut: number;
  bytesIn: number;
  bytesOut: number;
  ageSeconds: number;
  idleSeconds: number;
  shard: number;
  offloaded: boolean;
  /** Member of the cluster that answers for it; null: this one, or nobody is known to. */
  writer: string | null;
}
export interface WorkerRow {
  shard: number;
  state: string;
  io: string;
  packets: number;
  restarts: number;
  heartbeatAgeSeconds: number;
  /** Why `io` is not a better one. */
  reason: string | null;
}
export interface DropRow {
  reason: string;
  packets: number;
  description: string;
}
/** One rule of the firewall, or what stands behind the rules: the default, and the XDP program's deny list. */
export interface FirewallRow {
  /** As in the file: firewall.rules[0] is 0; null for what is no rule. */
  rule: number | null;
  name: string;
  action: 'allow' | 'deny' | 'limit';
  /** In words. */
  match: string;
  /** The rates of a limit, in words; null for other actions. */
  limit: string | null;
  /** Packets and tunnel requests that it decided about; not those of a tunnel whose request it has let through. */
  matched: number;
  /** Tunnel requests over its rates. */
  refused: number;
}
/** Tunnels of a server that went to its peer, or a peer that may take them. */
export interface TakeOverRow {
  server: string;
  heir: string;
  /** claim: the server was dead; yield: it gave them; null: nothing was taken over. */
  kind: string | null;
  /** The highest generation that was believed between the two. */
  generation: number;
  state: 'ready' | 'working' | 'done';
  /** Tunnels that were moved, and those that could not be. */
  tunnels: number;
  left: number;
  /** Since the order came; null: none came since the start. */
  ageSeconds: number | null;
}
/** Something that shards count besides packets and drops. */
export interface CounterRow {
  counter: string;
  count: number;
  /** The count goes down, too. */
  level: boolean;
  description: string;
}

/** A row of what only grows. */
export function counterRow(counter: string, count: number, description: string): CounterRow {
  return { counter, count, level: false, description };
}
/** A tunnel request that might come. */
export interface ExplainRequest {
  readonly client: string;
  readonly vip: string;
  readonly tunnel?: number;
  /** The ids of the tunnel that it recovers, the client's own and the one that it was shown, as `7:40505`. */
  readonly recover?: string;
  /** It has a tie breaker. */
  readonly tie?: boolean;
  /** Its Host Name or Calling Number, as the VIP's `groupBy` asks. */
  readonly group?: string;
}

export interface ExplainRow {
  server: string | null;
  reason: string;
  existing: boolean;
  /** The drop reason that a refusal is counted under; null: it is not refused. */
  refusal: string | null;
  /** Every server of the VIP, in the order of the file. */
  candidates: ExplainCandidate[];
  /** What may change the answer, and what comes after it. */
  notes: string[];
}
export interface ExplainCandidate {
  server: string;
  /** It may take a new tunnel. */
  takes: boolean;
  /** Why not; null: it may. */
  why: string | null;
  state: ServerRow['state'];
  sinceSeconds: number;
  weight: number;
  load: number | null;
  tunnels: number;
  sessions: number;
}

export interface ServerCommand {
  readonly action: 'drain' | 'enable' | 'disable' | 'weight' | 'activate' | 'inactivate';
  readonly names: readonly string[];
  readonly weight?: number;
  /** Drain and inactivate only: seconds until tunnels that are left are closed; absent = wait for ever. */
  readonly deadlineSeconds?: number;
}

export interface ReloadResult {
  readonly ok: boolean;
  readonly problems: readonly ConfigProblem[];
  readonly changes: readonly string[];
}

/**
 * Frames of a capture, already in pcap or pcapng format (header first); ends when the consumer goes or `close` is called.
 * A chunk may be cut anywhere, so a consumer takes them as one byte stream. While paused, the stream keeps a bounded
 * amount and counts the frames beyond it in `dropped`. `CaptureHub.open` (capture.ts) makes them.
 */
export interface CaptureStream {
  readonly onData: (listener: (chunk: Uint8Array) => void) => void;
  /** Called once when the stream ends, whoever ended it; what was kept while paused is delivered before. */
  readonly onEnd: (listener: () => void) => void;
  pause(): void;
  resume(): void;
  close(): void;
  readonly dropped: () => number;
}

export interface TunnelFilter {
  vip?: string;
  server?: string;
  client?: string;
  tunnel?: number;
  limit?: number;
}

export interface Appliance {
  readonly startedAt: Date;
  /** What happened and happens. */
  readonly events: EventLog;
  ready(): boolean;
  /** Null when all is well, else what is wrong (a shard without a heartbeat …). */
  unhealthy(): string | null;
  /** It forwards, but something that it shares with others is not as it should be; absent or null: all is. */
  degraded?(): string | null;
  vips(): VipRow[];
  vipMap(): VipMapRow[];
  /** Tunnels that are answered from a NAT address, a slice at a time. */
  natSlices(): Iterable<readonly NatRow[]>;
  servers(): ServerRow[];
  tunnels(filter?: TunnelFilter): TunnelRow[];
  /**
   * The same rows, a slice at a time, made while the consumer takes them: a million tunnels are then never a million
   * objects at once. A tunnel that comes or goes meanwhile may be listed or not. Absent: `tunnels` is used.
   */
  tunnelSlices?(filter: TunnelFilter): Iterable<readonly TunnelRow[]>;
  workers(): WorkerRow[];
  drops(): DropRow[];
  /** In the order of the rules. */
  firewall(): FirewallRow[];
  counters(): CounterRow[];
  takeOvers(): TakeOverRow[];
  /** Tables, commands and figures of the gateway groups and the cluster that it is a member of; absent or null: of none. */
  groups?(): Pick<Endpoint, 'tables' | 'commands' | 'metrics'> | null;
  /** Totals for metrics: packets and bytes by direction, requests, tunnels by state and VIP. */
  totals(): Totals;
  /** Errors: TD_NOT_FOUND unknown VIP, TD_USAGE bad client. */
  explain(request: ExplainRequest): ExplainRow;
  /** Rates, the first rows by one of them. A look costs about the same however often and by how many it is asked for. */
  top(query: TopQuery): Promise<TopAnswer>;
  /** Errors: TD_NOT_FOUND unknown server name (nothing is changed then). */
  command(command: ServerCommand): ServerRow[];
  reload(): Promise<ReloadResult>;
  capture(filter: { tunnel?: number; client?: string }, format?: CaptureFormat): CaptureStream;
  /** Test aid, only with TD_TEST_COMMANDS=1: makes a shard throw. */
  crashShard(shard: number): void;
}

export interface Totals {
  shards: {
    /** `kernel`: what the XDP program did by itself. */
    shard: number | 'kernel';
    received: number;
    in: number;
    out: number;
    bytesIn: number;
    bytesOut: number;
    passed: number;
    handedOver: number;
    answered: number;
    kernelLost: number;
    restarts: number;
  }[];
  vips: { vip: string; protocol: string; halfOpen: number; established: number; closing: number; requests: number }[];
  table: { entries: number; slots: number; tunnels: number; limit: number; sessions: number };
  reloads: {
    ok: number;
    failed: number /** Unix time of the last configuration that was applied. */;
    lastOkSeconds: number;
  };
}
