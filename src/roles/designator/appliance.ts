/** The running designator as the control API, metrics and commands see it. */
import { ALL_DROP_REASONS, COUNTER, DROP_BASE } from '../../dataplane/counters.js';
import {
  COUNTER_WORDS,
  type CounterName,
  counterLabel,
  LEVELS,
  TRAFFIC_COUNTERS,
} from '../../dataplane/counter-words.js';
import { DesignatorError } from '../../errors.js';
import { CELL_WORDS, SERVER_CELL } from '../../flow/layout.js';
import {
  type Appliance,
  type CaptureStream,
  type CounterRow,
  counterRow,
  type DropRow,
  type ExplainRequest,
  type ExplainRow,
  type FirewallRow,
  type ReloadResult,
  type ServerCommand,
  type NatRow,
  type ServerRow,
  type TakeOverRow,
  type Totals,
  type TunnelFilter,
  type TunnelRow,
  type VipMapRow,
  type VipRow,
  type WorkerRow,
} from '../../ops/appliance.js';
import type { CaptureFormat } from '../../ops/capture.js';
import type { Endpoint } from '../../ops/endpoint.js';
import type { EventLog } from '../../ops/events.js';
import { logTrouble } from '../../ops/log.js';
import type { TopAnswer, TopQuery } from '../../ops/top.js';
import { groupCommands } from '../gateway/commands.js';
import { groupMetrics } from '../gateway/metrics.js';
import { groupTables } from '../gateway/tables.js';
import { clusterDrops, clusterMetrics } from './cluster/metrics.js';
import { clusterTables } from './cluster/rows.js';
import type { DesignatorProcess } from './designator.js';
import { explain } from './explain.js';
import { RateBoard } from './rate-board.js';

/** A shard that has made no turn for so long is reported as unhealthy, well before it is fatal. */
const UNHEALTHY_SECONDS = 2;

export class DesignatorAppliance implements Appliance {
  readonly startedAt: Date;
  readonly events: EventLog;
  readonly #rates: RateBoard;

  constructor(
    readonly process: DesignatorProcess,
    readonly testCommands: boolean,
  ) {
    this.startedAt = process.startedAt;
    this.events = process.events.log;
    this.process.policy.onFlood = (seconds) =>
      this.events.emit('request-flood', { flood: seconds === null, seconds: seconds ?? undefined });
    this.process.events.ruleName = (rule) => this.process.policy.ruleName(rule, this.process.config);
    this.process.rows.loadStatus = (server) => this.process.load.said(server);
    this.#rates = new RateBoard({
      memory: this.process.table.memory,
      binding: this.process.binding,
      rows: this.process.rows,
      statistics: this.process.pool.statistics,
      kernel: () => this.process.datapath.totals(),
      now: () => this.process.addon.monotonicSeconds(),
    });
  }

  ready(): boolean {
    return this.process.ready();
  }

  unhealthy(): string | null {
    for (const shard of this.process.pool.status()) {
      if (shard.state !== 'running') return `shard ${shard.shard} is ${shard.state}`;
      if (shard.heartbeatAgeSeconds > UNHEALTHY_SECONDS)
        return `shard ${shard.shard} has made no turn for ${shard.heartbeatAgeSeconds} s`;
    }
    return this.process.groups?.trouble() ?? (this.process.ready() ? null : 'not ready');
  }

  degraded(): string | null {
    const { cluster, takeOvers, logger } = this.process;
    return cluster?.degraded() ?? takeOvers.degraded() ?? logTrouble(logger);
  }

  vips(): VipRow[] {
    return this.process.rows.vips();
  }

  vipMap(): VipMapRow[] {
    return this.process.rows.vipMap();
  }

  natSlices(): Iterable<readonly NatRow[]> {
    return this.process.rows.natSlices();
  }

  servers(): ServerRow[] {
    return this.process.rows.servers();
  }

  tunnels(filter?: TunnelFilter): TunnelRow[] {
    return this.process.rows.tunnels(filter);
  }

  tunnelSlices(filter: TunnelFilter): Iterable<readonly TunnelRow[]> {
    return this.process.rows.tunnelSlices(filter);
  }

  groups(): Pick<Endpoint, 'tables' | 'commands' | 'metrics'> | null {
    const { groups, cluster } = this.process;
    if (groups === null && cluster === null) return null;
    return {
      tables: new Map([
        ...(groups === null ? [] : groupTables(groups)),
        ...(cluster === null ? [] : clusterTables(cluster)),
      ]),
      commands: groups === null ? new Map() : groupCommands(groups),
      metrics: () => [
        ...(groups === null ? [] : groupMetrics(groups.runners(), groups.now())),
        ...(cluster === null ? [] : clusterMetrics(cluster)),
      ],
    };
  }

  workers(): WorkerRow[] {
    return this.process.pool.status().map(({ shard, state, restarts, heartbeatAgeSeconds }) => ({
      shard,
      state,
      io: this.process.pool.ioOf[shard],
      packets: this.process.pool.statistics[shard][COUNTER.framesReceived],
      restarts,
      heartbeatAgeSeconds,
      reason: this.process.datapath.reasons.join('; ') || null,
    }));
  }

  drops(): DropRow[] {
    const kernel = this.process.datapath.totals()?.drops ?? {};
    const packets = ALL_DROP_REASONS.map(([reason, description], index) => ({
      reason,
      packets: this.#sum(DROP_BASE + index) + (kernel[reason] ?? 0),
      description,
    }));
    const { load, takeOvers, groups, cluster } = this.process;
    const ofCluster = cluster === null ? [] : clusterDrops(cluster);
    return [...packets, ...load.drops(), ...takeOvers.drops(), ...(groups?.drops() ?? []), ...ofCluster];
  }

  firewall(): FirewallRow[] {
    return this.process.policy.rows(this.process.config);
  }

  takeOvers(): TakeOverRow[] {
    return this.process.takeOvers.rows();
  }

  counters(): CounterRow[] {
    const names = (Object.keys(COUNTER) as CounterName[]).filter((name) => !TRAFFIC_COUNTERS.has(name));
    const rows = names.map((name) => ({
      counter: counterLabel(name),
      count: this.#sum(COUNTER[name]),
      level: LEVELS.has(name),
      description: COUNTER_WORDS[name],
    }));
    const checks = this.process.health.checks ?? { asked: 0, answered: 0, unanswered: 0, unsent: 0 };
    const { lostBefore, lostInStreams } = this.events.totals();
    return [
      ...rows,
      counterRow('load-status-accepted', this.process.load.accepted, 'load status messages that were believed'),
      counterRow('take-overs-asked', this.process.takeOvers.accepted, 'take-over messages that were believed'),
      counterRow('checks-asked', checks.asked, 'active checks of servers that were begun'),
      counterRow('checks-answered', checks.answered, 'active checks that the server answered'),
      counterRow('checks-unanswered', checks.unanswered, 'active checks without an answer in time'),
      counterRow('checks-unsent', checks.unsent, 'active checks that could not be sent'),
      counterRow('events-lost', lostBefore, 'events of shards that found no room in their ring'),
      counterRow(
        'events-unread',
        lostInStreams,
        'events that streams did not get, because their readers were too slow',
      ),
      ...this.process.inactivation.counters(),
      ...(this.process.groups?.counters() ?? []),
      ...(this.process.clusterParts?.orders.counters() ?? []),
      ...(this.process.clusterParts?.relay.counters() ?? []),
    ];
  }

  #sum(counter: number): number {
    return this.process.pool.statistics.reduce((sum, statistics) => sum + statistics[counter], 0);
  }

  totals(): Totals {
    const status = this.process.pool.status();
    const states = this.process.rows.tunnelStates();
    const servers = this.process.table.memory.servers;
    const { binding } = this.process;
    return {
      shards: [
        ...this.process.pool.statistics.map((s, shard) => ({
          shard,
          received: s[COUNTER.framesReceived],
          in: s[COUNTER.packetsIn],
          out: s[COUNTER.packetsOut],
          bytesIn: s[COUNTER.bytesIn],
          bytesOut: s[COUNTER.bytesOut],
          passed: s[COUNTER.passed],
          handedOver: s[COUNTER.handedOver],
          answered: s[COUNTER.answered],
          kernelLost: s[DROP_BASE + ALL_DROP_REASONS.findIndex(([name]) => name === 'receive-ring')],
          restarts: status[shard]?.restarts ?? 0,
        })),
        ...this.#kernel(),
      ],
      vips: binding.vips.map((vip) => {
        const [halfOpen, established, closing] = states.get(vip.index) ?? [0, 0, 0];
        const own = binding.servers.filter((server) => server.vip === vip.index);
        return {
          vip: vip.name,
          protocol: vip.protocols.join(','),
          halfOpen,
          established,
          closing,
          requests: own.reduce(
            (sum, server) => sum + (servers[server.index * CELL_WORDS + SERVER_CELL.designated] >>> 0),
            0,
          ),
        };
      }),
      table: this.process.rows.totals(),
      reloads: this.process.reloads.counts,
    };
  }

  /** The XDP program's own work, as one more row. */
  #kernel(): Totals['shards'] {
    const kernel = this.process.datapath.totals();
    if (kernel === null) return [];
    const { packetsIn, packetsOut, bytesIn, bytesOut, passed, answered } = kernel;
    const nothing = { handedOver: 0, kernelLost: 0, restarts: 0 };
    const received = packetsIn + packetsOut + passed + answered;
    return [
      { shard: 'kernel', received, in: packetsIn, out: packetsOut, bytesIn, bytesOut, passed, answered, ...nothing },
    ];
  }

  explain(request: ExplainRequest): ExplainRow {
    const { table, binding, rows, designator, config, policy, followForecast } = this.process;
    return explain(
      {
        memory: table.memory,
        binding,
        rows,
        designator,
        config,
        followForecast,
        refuses: (words, vip) => policy.refuses(words, vip, config),
        doubts: (words, vip) => policy.doubts(words, vip),
        follow: (vip, words) => this.process.follow.classOf(vip, words),
        flooded: policy.flooded,
      },
      request,
    );
  }

  top(query: TopQuery): Promise<TopAnswer> {
    return this.#rates.top(query);
  }

  command(command: ServerCommand): ServerRow[] {
    const { commands, clusterParts } = this.process;
    const named = commands.named(command.names);
    const isElsewhere = clusterParts?.orders.isElsewhere(command) ?? false;
    const changed = isElsewhere ? named : commands.run(command);
    const { action, names, weight, deadlineSeconds } = command;
    this.events.emit('server-changed', { action, servers: names.join(', '), weight, deadlineSeconds });
    // What comes of these is told step by step, by whoever does them.
    if (action !== 'activate' && action !== 'inactivate') clusterParts?.orders.ordered(command);
    return changed.map((server) => this.process.rows.server(server));
  }

  reload(): Promise<ReloadResult> {
    return this.process.reloads.reload();
  }

  capture({ tunnel, client }: { tunnel?: number; client?: string }, format?: CaptureFormat): CaptureStream {
    const filter = { ...(tunnel === undefined ? {} : { tunnel }), ...(client === undefined ? {} : { client }) };
    return this.process.captures.hub.open(filter, format);
  }

  crashShard(shard: number): void {
    if (!this.testCommands)
      throw new DesignatorError('TD_NO_PERMISSION', 'set TD_TEST_COMMANDS=1 to allow test commands');
    this.process.pool.crash(shard);
  }
}
