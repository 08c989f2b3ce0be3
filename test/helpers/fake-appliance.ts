/** An appliance without a data plane: the rows of document 003's worked example, and commands that change them. */
import { DesignatorError } from '../../src/errors.js';
import type {
  Appliance,
  CaptureStream,
  CounterRow,
  DropRow,
  ExplainRow,
  FirewallRow,
  ReloadResult,
  ServerCommand,
  NatRow,
  ServerRow,
  TakeOverRow,
  Totals,
  TunnelFilter,
  TunnelRow,
  VipMapRow,
  VipRow,
  WorkerRow,
} from '../../src/ops/appliance.js';
import type { TopAnswer, TopQuery } from '../../src/ops/top.js';
import { type CaptureFormat, CaptureHub } from '../../src/ops/capture.js';
import { EventLog } from '../../src/ops/events.js';

export function tunnelRow(values: Partial<TunnelRow> = {}): TunnelRow {
  return {
    vip: 'access',
    protocol: 'l2tp',
    client: '192.128.10.5:1701',
    clientTunnelId: 11,
    virtualTunnelId: null,
    server: 'lns2',
    serverAddress: '10.10.1.2',
    serverPort: 5000,
    serverTunnelId: 77,
    state: 'established',
    sessions: 2,
    packetsIn: 120,
    packetsOut: 98,
    bytesIn: 15000,
    bytesOut: 9000,
    ageSeconds: 61.5,
    idleSeconds: 0.5,
    shard: 0,
    offloaded: false,
    writer: null,
    ...values,
  };
}

export class FakeAppliance implements Appliance {
  readonly startedAt = new Date('2030-01-02T03:04:05Z');
  readonly hub = new CaptureHub();
  readonly events = new EventLog();
  isReady = true;
  trouble: string | null = null;
  tunnelRows: TunnelRow[] = [
    tunnelRow(),
    tunnelRow({
      clientTunnelId: 12,
      server: 'lns1',
      serverAddress: '10.10.1.1',
      serverPort: 1701,
      serverTunnelId: null,
      state: 'half-open',
      sessions: 0,
    }),
    tunnelRow({
      client: '[2001:db8::5]:1701',
      clientTunnelId: 13,
      server: 'lns1',
      serverAddress: '10.10.1.1',
      serverPort: 1701,
    }),
  ];
  serverRows: ServerRow[] = [
    {
      name: 'lns1',
      vip: 'access',
      address: '10.10.1.1',
      port: 1701,
      state: 'up',
      weight: 1,
      load: null,
      tunnels: 2,
      sessions: 2,
      reason: null,
      sinceSeconds: 3600,
      requests: 7,
      history: [],
      loadStatus: null,
    },
    {
      name: 'lns2',
      vip: 'access',
      address: '10.10.1.2',
      port: 1701,
      state: 'up',
      weight: 2,
      load: 0.25,
      tunnels: 1,
      sessions: 2,
      reason: null,
      sinceSeconds: 45,
      requests: 14,
      history: [
        {
          at: '2030-01-02T04:00:00.000Z',
          from: 'up',
          to: 'down',
          reason: 'silent while tunnels ask',
          detail: '3 tunnels',
        },
        { at: '2030-01-02T04:01:00.000Z', from: 'down', to: 'up', reason: 'heard from again', detail: null },
      ],
      loadStatus: {
        ageSeconds: 1.5,
        accepting: true,
        tunnels: 1,
        sessions: null,
        cpu: 0.253,
        memory: 0.5,
        packetsIn: 1200,
        packetsOut: 900,
        bitsIn: 1_500_000,
        bitsOut: null,
      },
    },
  ];
  reloadResult: ReloadResult = { ok: true, problems: [], changes: ['server lns3 added'] };
  readonly commands: ServerCommand[] = [];
  readonly captureFilters: { tunnel?: number; client?: string }[] = [];
  failure: Error | null = null;

  ready(): boolean {
    return this.isReady;
  }

  unhealthy(): string | null {
    return this.trouble;
  }

  vips(): VipRow[] {
    if (this.failure !== null) throw this.failure;
    return [
      {
        name: 'access',
        address: '200.200.100.1',
        port: 1701,
        protocols: 'l2tp',
        algorithm: 'weighted-round-robin',
        tunnels: 3,
        sessions: 4,
        servers: 2,
        serversUp: 2,
        reply: 'nat',
        natAddress: '200.200.100.2',
        following: 5,
        carried: 1,
        refusing: 0,
        notFollowing: '192.0.2.7 carried',
      },
    ];
  }

  natRows(): NatRow[] {
    return [
      {
        vip: 'access',
        farAddress: '192.128.10.5',
        farPort: 1701,
        localAddress: '10.10.1.1',
        localPort: 1701,
        natAddress: '200.200.100.2',
        natPort: 1701,
        farTunnelId: 7,
        localTunnelId: 99,
        server: 'lns1',
        sessions: 2,
        packetsIn: 10,
        packetsOut: 12,
        bytesIn: 1000,
        bytesOut: 1200,
        state: 'established',
      },
    ];
  }

  *natSlices(): Iterable<readonly NatRow[]> {
    yield this.natRows();
  }

  vipMap(): VipMapRow[] {
    return this.serverRows.map((row) => ({
      vip: row.vip,
      address: '200.200.100.1',
      port: 1701,
      realAddress: row.address,
      realPort: row.port,
      weight: row.weight,
      algorithm: 'weighted-round-robin',
    }));
  }

  servers(): ServerRow[] {
    return this.serverRows;
  }

  tunnels(filter: TunnelFilter = {}): TunnelRow[] {
    return this.tunnelRows
      .filter(
        (row) =>
          (filter.vip === undefined || row.vip === filter.vip) &&
          (filter.server === undefined || row.server === filter.server) &&
          (filter.client === undefined || row.client === filter.client) &&
          (filter.tunnel === undefined || row.clientTunnelId === filter.tunnel),
      )
      .slice(0, filter.limit);
  }

  workers(): WorkerRow[] {
    return [
      {
        shard: 0,
        state: 'running',
        io: 'packet',
        packets: 1000,
        restarts: 0,
        heartbeatAgeSeconds: 0.1,
        reason: 'XDP is built for x64 only',
      },
      { shard: 1, state: 'running', io: 'packet', packets: 2000, restarts: 1, heartbeatAgeSeconds: 0.2, reason: null },
    ];
  }

  drops(): DropRow[] {
    return [
      { reason: 'truncated', packets: 3, description: 'the frame is shorter than a header that it claims to carry' },
      { reason: 'no-server', packets: 0, description: 'no server of the VIP may take a new tunnel' },
    ];
  }

  counters(): CounterRow[] {
    return [
      { counter: 'requests-repeated', count: 4, level: false, description: 'retransmitted tunnel requests' },
      { counter: 'fragments-waiting', count: 2, level: true, description: 'fragments that wait now' },
    ];
  }

  totals(): Totals {
    return {
      shards: [0, 1].map((shard) => ({
        shard,
        received: 1000,
        in: 500,
        out: 400,
        bytesIn: 50000,
        bytesOut: 40000,
        passed: 90,
        handedOver: 5,
        answered: 2,
        kernelLost: 1,
        restarts: shard,
      })),
      vips: [{ vip: 'access', protocol: 'l2tp', halfOpen: 1, established: 2, closing: 0, requests: 3 }],
      table: { entries: 9, slots: 1024, tunnels: 3, limit: 512, sessions: 4 },
      reloads: { ok: 2, failed: 1, lastOkSeconds: 1_893_553_445 },
    };
  }

  firewall(): FirewallRow[] {
    const nothing = { limit: null, matched: 0, refused: 0 };
    return [
      {
        rule: 0,
        name: 'cpe',
        action: 'limit',
        match: 'hostName cpe-*',
        limit: '100/s (burst 200)',
        matched: 12,
        refused: 5,
      },
      { rule: null, name: 'default', action: 'allow', match: 'everything else', ...nothing },
    ];
  }

  takeOvers(): TakeOverRow[] {
    return [
      {
        server: 'lns1',
        heir: 'lns2',
        kind: 'claim',
        generation: 7,
        state: 'done',
        tunnels: 120,
        left: 0,
        ageSeconds: 3.5,
      },
    ];
  }

  explain({ client, vip, tunnel }: { client: string; vip: string; tunnel?: number }): ExplainRow {
    if (vip !== 'access') throw new DesignatorError('TD_NOT_FOUND', `no VIP named "${vip}"`, { vip });
    const existing = this.tunnels({ client, tunnel })[0];
    const candidates = this.serverRows.map((row) => {
      const takes = row.state === 'up';
      const { name, state, sinceSeconds, weight, load, tunnels, sessions } = row;
      return {
        server: name,
        takes,
        why: takes ? null : `${state}: silent`,
        state,
        sinceSeconds,
        weight,
        load,
        tunnels,
        sessions,
      };
    });
    const more = { refusal: null, candidates, notes: existing === undefined ? ['a note'] : [] };
    if (existing !== undefined)
      return { server: existing.server, reason: 'tunnel is in the table', existing: true, ...more };
    return { server: 'lns2', reason: 'weighted-round-robin: its turn', existing: false, ...more };
  }

  readonly topQueries: TopQuery[] = [];
  async top(query: TopQuery): Promise<TopAnswer> {
    this.topQueries.push(query);
    const rates = {
      packetsInPerSecond: 1500,
      packetsOutPerSecond: 20,
      bitsInPerSecond: 12_345_678,
      bitsOutPerSecond: 900,
    };
    const rows =
      query.view === 'tunnels'
        ? this.tunnels(query).map((row) => ({ ...row, ...rates }))
        : query.view === 'servers'
          ? this.serverRows.map((row) => ({ ...row, ...rates, requestsPerSecond: 3 }))
          : [0, 'kernel' as const].map((shard) => ({ shard, receivedPerSecond: 1520, dropsPerSecond: 0, ...rates }));
    const totals = { tunnels: 3, established: 2, limit: 512, requestsPerSecond: 3, dropsPerSecond: 0, ...rates };
    return { view: query.view, seconds: this.topQueries.length === 1 ? null : 2, totals, rows };
  }

  command(command: ServerCommand): ServerRow[] {
    for (const name of command.names) {
      if (!this.serverRows.some((row) => row.name === name)) {
        throw new DesignatorError('TD_NOT_FOUND', `no server named "${name}"`, { server: name });
      }
    }
    this.commands.push(command);
    const state = {
      drain: 'draining',
      enable: 'up',
      disable: 'disabled',
      activate: 'slow-start',
      inactivate: 'inactive',
    } as const;
    this.serverRows = this.serverRows.map((row) => {
      if (!command.names.includes(row.name)) return row;
      return command.action === 'weight'
        ? { ...row, weight: command.weight ?? row.weight }
        : { ...row, state: state[command.action] };
    });
    return this.serverRows.filter((row) => command.names.includes(row.name));
  }

  async reload(): Promise<ReloadResult> {
    return this.reloadResult;
  }

  capture(filter: { tunnel?: number; client?: string }, format?: CaptureFormat): CaptureStream {
    this.captureFilters.push(filter);
    return this.hub.open(filter, format);
  }

  crashShard(): void {
    if (this.failure !== null) throw this.failure;
  }
}

/** Rows made while they are taken; `made` tells how far the reader got. */
export class ManyTunnels extends FakeAppliance {
  made = 0;
  readonly count: number;

  constructor(count: number) {
    super();
    this.count = count;
  }

  *tunnelSlices(): Generator<TunnelRow[]> {
    while (this.made < this.count) {
      const rows: TunnelRow[] = [];
      for (let i = 0; i < 500 && this.made < this.count; i++) rows.push(tunnelRow({ clientTunnelId: this.made++ }));
      yield rows;
    }
  }
}
