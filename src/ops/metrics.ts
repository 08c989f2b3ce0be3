/**
 * Prometheus metrics, read from the appliance at each scrape and kept nowhere else.
 *
 * Labels are `vip`, `server`, `reason`, `shard` and `protocol` only (DESIGN §8): none grows with traffic. The build's
 * version would need a label of its own, so `designator_build_info` carries it in its HELP text.
 */
import { Counter, Gauge, Registry } from 'prom-client';
import type { Appliance, CounterRow, DropRow, FirewallRow, ServerRow, Totals, VipRow, WorkerRow } from './appliance.js';
import { registryOf } from './endpoint-metrics.js';
import { readProcessFacts } from './process-facts.js';

export type MetricLabel = 'vip' | 'server' | 'reason' | 'shard' | 'protocol';

const PREFIX = 'designator_';

/** One reading of the appliance serves all families of a scrape, so that they agree with each other. */
interface Reading {
  readonly totals: Totals;
  readonly vips: readonly VipRow[];
  readonly servers: readonly ServerRow[];
  readonly workers: readonly WorkerRow[];
  readonly drops: readonly DropRow[];
  readonly firewall: readonly FirewallRow[];
  readonly counters: readonly CounterRow[];
}

export class Metrics {
  readonly #appliance: Appliance;
  readonly #registry = new Registry();
  readonly #fillers: ((reading: Reading) => void)[] = [];

  constructor(appliance: Appliance, build: { version: string; node: string }) {
    this.#appliance = appliance;
    this.#shards();
    this.#vips();
    this.#servers();
    this.#firewall();
    this.#events();
    this.#table();
    this.#process(build);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The exposition text. */
  async text(): Promise<string> {
    // Series of a server or VIP that a reload removed must go, hence everything is set anew.
    this.#registry.resetMetrics();
    const reading: Reading = {
      totals: this.#appliance.totals(),
      vips: this.#appliance.vips(),
      servers: this.#appliance.servers(),
      workers: this.#appliance.workers(),
      drops: this.#appliance.drops(),
      firewall: this.#appliance.firewall(),
      counters: this.#appliance.counters(),
    };
    for (const fill of this.#fillers) fill(reading);
    const groups = this.#appliance.groups?.()?.metrics() ?? null;
    const own = await this.#registry.metrics();
    return groups === null ? own : `${own}${await registryOf(groups).metrics()}`;
  }

  #gauge<L extends MetricLabel = never>(name: string, help: string, labelNames: readonly L[] = []): Gauge<L> {
    return new Gauge({ name: PREFIX + name, help, labelNames: [...labelNames], registers: [this.#registry] });
  }

  /** A counter whose total is kept elsewhere: it is reset before each scrape and raised to the total. */
  #counter<L extends MetricLabel = never>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> {
    return new Counter({ name: PREFIX + name, help, labelNames: [...labelNames], registers: [this.#registry] });
  }

  #shards(): void {
    const label = ['shard'] as const;
    const totals = [
      ['received', this.#counter('packets_received_total', 'Packets that the shard took from its interfaces.', label)],
      ['in', this.#counter('packets_in_total', 'IP packets forwarded from clients to servers.', label)],
      ['out', this.#counter('packets_out_total', 'IP packets forwarded from servers to clients.', label)],
      [
        'bytesIn',
        this.#counter('bytes_in_total', 'Bytes forwarded from clients to servers, from the outer IP header on.', label),
      ],
      [
        'bytesOut',
        this.#counter(
          'bytes_out_total',
          'Bytes forwarded from servers to clients, from the outer IP header on.',
          label,
        ),
      ],
      [
        'passed',
        this.#counter('packets_passed_total', 'Packets that are no tunnel traffic and were left to the host.', label),
      ],
      [
        'handedOver',
        this.#counter(
          'packets_handed_over_total',
          'Packets that the shard gave to the shard that owns the tunnel.',
          label,
        ),
      ],
      [
        'answered',
        this.#counter(
          'packets_answered_total',
          'ARP, neighbour discovery and echo requests for a VIP that were answered.',
          label,
        ),
      ],
      [
        'kernelLost',
        this.#counter(
          'packets_kernel_lost_total',
          'Packets that the kernel lost because the shard’s receive ring was full.',
          label,
        ),
      ],
      [
        'restarts',
        this.#counter('shard_restarts_total', 'Times that the shard was started again after a crash.', label),
      ],
    ] as const;
    const heartbeat = this.#gauge(
      'shard_heartbeat_age_seconds',
      'Seconds since the shard last showed that it runs.',
      label,
    );
    const dropped = this.#counter('dropped_packets_total', 'Packets that ended here, by reason.', ['reason']);
    this.#fillers.push((reading) => {
      for (const row of reading.totals.shards) {
        const labels = { shard: String(row.shard) };
        for (const [field, counter] of totals) counter.inc(labels, row[field]);
      }
      for (const row of reading.workers) heartbeat.set({ shard: String(row.shard) }, row.heartbeatAgeSeconds);
      for (const row of reading.drops) dropped.inc({ reason: row.reason }, row.packets);
    });
  }

  #vips(): void {
    const labels = ['vip', 'protocol'] as const;
    const halfOpen = this.#gauge('tunnels_half_open', 'Tunnels that were requested and not yet answered.', labels);
    const established = this.#gauge('tunnels_established', 'Tunnels that both sides agreed on.', labels);
    const closing = this.#gauge('tunnels_closing', 'Tunnels that were ended and wait for retransmissions.', labels);
    const requests = this.#counter('requests_total', 'Tunnel requests that came for the VIP.', labels);
    const sessions = this.#gauge('sessions', 'Sessions (calls) inside the tunnels of the VIP.', ['vip']);
    const serversUp = this.#gauge('vip_servers_up', 'Servers of the VIP that may take new tunnels.', ['vip']);
    const clients = (what: string, help: string) => this.#gauge(`clients_${what}`, help, ['vip']);
    const following = clients('following', 'Clients that go on with another address that answered them.');
    const carried = clients('carried', 'Clients that go on sending to the VIP and are carried on to their server.');
    const refusing = clients('refusing', 'Clients that take no answer but the VIP’s own.');
    this.#fillers.push((reading) => {
      for (const row of reading.vips.filter(({ reply }) => reply !== 'vip')) {
        following.set({ vip: row.name }, row.following);
        carried.set({ vip: row.name }, row.carried);
        refusing.set({ vip: row.name }, row.refusing);
      }
      for (const row of reading.totals.vips) {
        const of = { vip: row.vip, protocol: row.protocol };
        halfOpen.set(of, row.halfOpen);
        established.set(of, row.established);
        closing.set(of, row.closing);
        requests.inc(of, row.requests);
      }
      for (const row of reading.vips) {
        sessions.set({ vip: row.name }, row.sessions);
        serversUp.set({ vip: row.name }, row.serversUp);
      }
    });
  }

  #servers(): void {
    const labels = ['vip', 'server'] as const;
    const up = this.#gauge(
      'server_up',
      '1 while the server may take new tunnels (state up or slow-start), else 0.',
      labels,
    );
    const weight = this.#gauge('server_weight', 'Weight of the server in its VIP.', labels);
    const tunnels = this.#gauge('server_tunnels', 'Tunnels that the server carries.', labels);
    const sessions = this.#gauge('server_sessions', 'Sessions (calls) that the server carries.', labels);
    const load = this.#gauge('server_load', 'Load that the server reports; absent when it reports none.', labels);
    this.#fillers.push((reading) => {
      for (const row of reading.servers) {
        const of = { vip: row.vip, server: row.name };
        up.set(of, row.state === 'up' || row.state === 'slow-start' ? 1 : 0);
        weight.set(of, row.weight);
        tunnels.set(of, row.tunnels);
        sessions.set(of, row.sessions);
        if (row.load !== null) load.set(of, row.load);
      }
    });
  }

  /** The reason of a decision is the rule's name; as many as the configuration has. */
  #firewall(): void {
    const matched = this.#counter(
      'firewall_matched_total',
      'Packets and tunnel requests that a firewall rule decided about; reason is the rule’s name.',
      ['reason'],
    );
    const refused = this.#counter(
      'firewall_over_limit_total',
      'Tunnel requests over the rates of a limit rule; reason is the rule’s name.',
      ['reason'],
    );
    this.#fillers.push((reading) => {
      for (const row of reading.firewall) {
        matched.inc({ reason: row.name }, row.matched);
        if (row.action === 'limit') refused.inc({ reason: row.name }, row.refused);
      }
    });
  }

  /** What is told by reason: the names are fixed, as many as the program has. */
  #events(): void {
    const happened = this.#counter('events_total', 'What happened; reason is the type of the event.', ['reason']);
    const work = this.#counter(
      'work_total',
      'What shards did besides forwarding; reason names it (designator show counters).',
      ['reason'],
    );
    const level = this.#gauge('work_waiting', 'What waits in shards now; reason names it.', ['reason']);
    const streams = this.#gauge('event_streams', 'Event streams that are open.');
    this.#fillers.push((reading) => {
      const events = this.#appliance.events.totals();
      for (const { type, count } of events.byType) happened.inc({ reason: type }, count);
      for (const row of reading.counters) {
        if (row.level) level.set({ reason: row.counter }, row.count);
        else work.inc({ reason: row.counter }, row.count);
      }
      streams.set(events.streams);
    });
  }

  #table(): void {
    const entries = this.#gauge('table_entries', 'Entries of the connection table in use.');
    const slots = this.#gauge('table_slots', 'Entries that the connection table has room for.');
    const tunnels = this.#gauge('table_tunnels', 'Tunnels in the connection table.');
    const limit = this.#gauge('table_tunnels_limit', 'Tunnels that the connection table may hold (table.connections).');
    const sessions = this.#gauge('table_sessions', 'Sessions in the session table.');
    const ok = this.#counter('config_reloads_succeeded_total', 'Reloads that were applied.');
    const failed = this.#counter(
      'config_reloads_failed_total',
      'Reloads that were refused; the configuration stayed as it was.',
    );
    const lastOk = this.#gauge(
      'config_last_reload_success_timestamp_seconds',
      'Unix time when a configuration was last applied.',
    );
    this.#fillers.push((reading) => {
      const { table, reloads } = reading.totals;
      entries.set(table.entries);
      slots.set(table.slots);
      tunnels.set(table.tunnels);
      limit.set(table.limit);
      sessions.set(table.sessions);
      ok.inc(reloads.ok);
      failed.inc(reloads.failed);
      lastOk.set(reloads.lastOkSeconds);
    });
  }

  #process(build: { version: string; node: string }): void {
    const info = this.#gauge(
      'build_info',
      `Always 1. This is tunnel-designator ${build.version} on Node ${build.node}.`,
    );
    const ready = this.#gauge('ready', '1 while traffic flows, else 0.');
    const healthy = this.#gauge('healthy', '1 while all parts run, else 0; /healthz says what is wrong.');
    const started = this.#gauge('start_time_seconds', 'Unix time when the appliance started.');
    const cpu = this.#counter('process_cpu_seconds_total', 'CPU time of all threads of the process, user and system.');
    const resident = this.#gauge('process_resident_memory_bytes', 'Resident memory of the process.');
    const descriptors = this.#gauge('process_open_fds', 'Open file descriptors of the process.');
    const heapUsed = this.#gauge('process_heap_used_bytes', 'JavaScript heap of the main thread that is in use.');
    const heapLimit = this.#gauge('process_heap_limit_bytes', 'JavaScript heap of the main thread at most.');
    this.#fillers.push(() => {
      const facts = readProcessFacts();
      info.set(1);
      ready.set(this.#appliance.ready() ? 1 : 0);
      healthy.set(this.#appliance.unhealthy() === null ? 1 : 0);
      started.set(this.#appliance.startedAt.getTime() / 1000);
      if (facts.cpuSeconds !== null) cpu.inc(facts.cpuSeconds);
      if (facts.residentBytes !== null) resident.set(facts.residentBytes);
      if (facts.openFileDescriptors !== null) descriptors.set(facts.openFileDescriptors);
      heapUsed.set(facts.heapUsedBytes);
      heapLimit.set(facts.heapLimitBytes);
    });
  }
}
