/** What an operator sees of the LNS: tables, figures and commands. */
import { DesignatorError } from '../../errors.js';
import type {
  Endpoint,
  EndpointCommand,
  EndpointCounterRow,
  EndpointDropRow,
  EndpointTable,
  EndpointWorkerRow,
  LnsTunnelRow,
  MetricReading,
  PoolRow,
  ReloadResult,
  SessionRow,
  TableFilter,
} from '../../ops/endpoint.js';
import type { EventLog } from '../../ops/events.js';
import { ENDPOINT_COUNTERS } from '../../protocol/l2tp/counters.js';
import { PPP_DISCARDS } from '../../protocol/ppp/counters.js';
import { formatWords } from '../../wire/address.js';
import type { CandidateRow } from '../candidate/candidate.js';
import type { Lns, TunnelNote } from './lns.js';
import { REFUSALS } from './lns-counters.js';
import type { Subscriber } from './subscriber.js';

const SLICE = 256;
const MEANINGS = new Map(ENDPOINT_COUNTERS);

export class LnsDesk implements Endpoint {
  readonly role = 'lns';
  readonly #lns: Lns;

  constructor(lns: Lns) {
    this.#lns = lns;
  }

  get events(): EventLog {
    return this.#lns.events;
  }

  get tables(): ReadonlyMap<string, EndpointTable> {
    const all = (description: string, rows: () => readonly object[]): EndpointTable => ({
      description,
      filters: [],
      rows: () => [rows()],
    });
    return new Map<string, EndpointTable>([
      ['tunnels', { description: 'control connections', filters: ['tunnel', 'client'], rows: (f) => this.#tunnels(f) }],
      [
        'sessions',
        {
          description: 'subscribers',
          filters: ['tunnel', 'session', 'user', 'client'],
          rows: (filter) => this.#sessions(filter),
        },
      ],
      ['pools', all('addresses for subscribers', () => this.#pools())],
      ['drops', all('what ended here, by reason', () => this.#drops())],
      ['counters', all('what happened', () => this.#counters())],
      ['workers', all('threads of the data path', () => this.#workers())],
      ['master', all('the master part that this endpoint carries', () => this.#master())],
      ...(this.#lns.offload?.tables ?? []),
    ]);
  }

  get commands(): ReadonlyMap<string, EndpointCommand> {
    return new Map<string, EndpointCommand>([
      ['disconnect', this.#disconnect()],
      ...(this.#lns.offload?.commands ?? []),
    ]);
  }

  reload(): Promise<ReloadResult> {
    return this.#lns.reload();
  }

  ready(): boolean {
    return this.#lns.started;
  }

  unhealthy(): string | null {
    return this.#lns.unhealthy();
  }

  // ── tables ────────────────────────────────────────────────────────────────────────────────────────────────────────

  *#tunnels({ tunnel, client }: TableFilter): Generator<readonly LnsTunnelRow[]> {
    const lns = this.#lns;
    if (!lns.started) return;
    const now = lns.now();
    let slice: LnsTunnelRow[] = [];
    for (const entry of lns.l2tp.tunnels.values()) {
      const peer = endpointText(entry.peer.address, entry.peer.port);
      if ((tunnel !== undefined && entry.localId !== tunnel) || (client !== undefined && peer !== client)) continue;
      const local = lns.plane.socket(entry.peer.socket);
      slice.push({
        peer,
        peerHostName: entry.hostName === '' ? null : entry.hostName,
        local: local === null ? '' : endpointText(local.address, local.port),
        tunnelId: entry.localId,
        peerTunnelId: entry.peerId === 0 ? null : entry.peerId,
        state: entry.state,
        sessions: entry.sessions.size,
        ns: entry.ns,
        nr: entry.nr,
        ageSeconds: Math.max(0, now - ((entry.userData as TunnelNote | null)?.since ?? now)),
      });
      if (slice.length < SLICE) continue;
      yield slice;
      slice = [];
    }
    yield slice;
  }

  *#sessions(filter: TableFilter): Generator<readonly SessionRow[]> {
    const lns = this.#lns;
    if (!lns.started) return;
    const now = lns.now();
    let slice: SessionRow[] = [];
    for (const subscriber of lns.subscribers.all()) {
      if (!matches(subscriber, filter)) continue;
      slice.push(this.#session(subscriber, now));
      if (slice.length < SLICE) continue;
      yield slice;
      slice = [];
    }
    yield slice;
  }

  #session(subscriber: Subscriber, now: number): SessionRow {
    const { session, call, ipv4, prefix, link } = subscriber;
    const { tunnel } = session;
    const counters = this.#lns.subscribers.counters(subscriber);
    const seen = this.#lns.subscribers.lastSeen(subscriber);
    const { spoofed, sequence, tooBig, hold, other } = counters;
    return {
      user: subscriber.user,
      peer: endpointText(tunnel.peer.address, tunnel.peer.port),
      tunnelId: tunnel.localId,
      sessionId: session.localId,
      peerTunnelId: tunnel.peerId,
      peerSessionId: session.peerId,
      state: subscriber.state,
      address: ipv4 === null ? null : formatWords(ipv4.words),
      prefix: prefix === null ? null : `${formatWords(prefix.words)}/${prefix.length}`,
      callingNumber: call.calling,
      calledNumber: call.called,
      authentication: subscriber.method,
      mtu: link?.parameters.peer.mru ?? null,
      ...subscriber.totals(counters),
      dropped: spoofed + sequence + tooBig + hold + other,
      ageSeconds: Math.max(0, now - subscriber.since),
      idleSeconds: Math.max(0, now - Math.max(seen, subscriber.since)),
    };
  }

  #pools(): PoolRow[] {
    return this.#lns.pools.all.map((pool) => ({
      pool: pool.name,
      family: pool.family,
      range: pool.text,
      size: pool.size,
      used: pool.used,
      free: pool.size - pool.used,
      exhausted: pool.exhausted,
    }));
  }

  #drops(): EndpointDropRow[] {
    const lns = this.#lns;
    if (!lns.started) return [];
    const control = [...lns.loop.refused].map(([reason, packets]) => ({
      reason: reason.startsWith('l2tp-') ? reason : `control-${reason}`,
      packets,
      description: MEANINGS.get(reason) ?? 'a control message that the L2TP engine did not take',
    }));
    const ppp = PPP_DISCARDS.map(([name, description]) => ({
      reason: `ppp-${name}`,
      packets: lns.pppCounters.of(name),
      description,
    }));
    const stray = { reason: 'ppp-stray', packets: lns.counters.strayFrames, description: 'a PPP frame of no session' };
    return [...lns.plane.drops(), ...control, ...ppp, stray];
  }

  #counters(): EndpointCounterRow[] {
    const lns = this.#lns;
    if (!lns.started) return [];
    const { counters } = lns;
    const refusals = REFUSALS.map(([name, description]) => ({
      counter: `refused-${name}`,
      count: counters.refusals.get(name) ?? 0,
      description,
    }));
    const ends = [...counters.ends].map(([reason, count]) => ({
      counter: `ended-${reason}`,
      count,
      description: 'sessions that ended for this reason',
    }));
    const engine = ENDPOINT_COUNTERS.map(([name, description]) => ({
      counter: name.startsWith('l2tp-') ? name : `control-${name}`,
      count: lns.l2tp.counters[name] ?? 0,
      description,
    }));
    return [
      { counter: 'calls', count: counters.calls, description: 'calls that peers asked for' },
      { counter: 'sessions-established', count: counters.established, description: 'sessions that got an address' },
      { counter: 'sessions-proxied', count: counters.proxied, description: 'links that began with proxy LCP' },
      ...refusals,
      ...ends,
      ...this.#radius(),
      ...engine,
    ];
  }

  #radius(): EndpointCounterRow[] {
    const client = this.#lns.radius?.client;
    if (client === undefined) return [];
    const { drops, ...counts } = client.counters;
    const row = (name: string, count: number, description: string) => ({
      counter: `radius-${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
      count,
      description,
    });
    return [
      ...Object.entries(counts).map(([name, count]) => row(name, count, 'of the RADIUS client')),
      ...Object.entries(drops).map(([name, count]) =>
        row(`dropped-${name}`, count, 'RADIUS answers that were not believed'),
      ),
      row('records-waiting', client.pendingRecords, 'accounting records that no server has taken yet'),
    ];
  }

  #master(): CandidateRow[] {
    const { candidate } = this.#lns;
    return candidate === null ? [] : [candidate.row()];
  }

  #workers(): EndpointWorkerRow[] {
    if (!this.#lns.started) return [];
    return this.#lns.plane.workers().map(({ shard, state, restarts, packets }) => ({
      worker: shard,
      state,
      packets,
      restarts,
    }));
  }

  // ── figures ───────────────────────────────────────────────────────────────────────────────────────────────────────

  metrics(): MetricReading[] {
    const lns = this.#lns;
    const gauge = (name: string, help: string, value: number): MetricReading => ({ name, help, kind: 'gauge', value });
    const total = (name: string, help: string, value: number, reason?: string): MetricReading => ({
      name: `${name}_total`,
      help,
      kind: 'counter',
      value,
      ...(reason === undefined ? {} : { reason }),
    });
    const ready = gauge('ready', '1 while calls are taken, else 0.', lns.started ? 1 : 0);
    if (!lns.started) return [ready];
    const { counters, pools, plane } = lns;
    const data = plane.statistics();
    const sum = (read: (pool: PoolRow) => number): number => this.#pools().reduce((all, pool) => all + read(pool), 0);
    return [
      ready,
      gauge('healthy', '1 while all parts run, else 0.', lns.unhealthy() === null ? 1 : 0),
      gauge('tunnels', 'Control connections.', lns.l2tp.tunnels.size),
      gauge('sessions', 'Sessions, those that are being set up included.', lns.subscribers.count),
      gauge('sessions_up', 'Sessions whose subscribers have an address.', lns.subscribers.up),
      gauge(
        'pool_addresses',
        'Addresses and prefixes of all pools.',
        sum(({ size }) => size),
      ),
      gauge(
        'pool_addresses_used',
        'Those that subscribers have.',
        sum(({ used }) => used),
      ),
      total(
        'pool_exhausted',
        'Times that a pool had nothing free.',
        pools.all.reduce((n, pool) => n + pool.exhausted, 0),
      ),
      total('calls', 'Calls that peers asked for.', counters.calls),
      total('sessions_established', 'Sessions that got an address.', counters.established),
      ...REFUSALS.map(([name]) =>
        total('refusals', 'Tunnels, calls and subscribers that were refused.', counters.refusals.get(name) ?? 0, name),
      ),
      ...[...counters.ends].map(([reason, count]) => total('sessions_ended', 'Sessions that ended.', count, reason)),
      total('datagrams_in', 'Datagrams of tunnels that came.', data.datagramsIn),
      total('datagrams_out', 'Datagrams of tunnels that were sent.', data.datagramsOut),
      total('packets_to_network', 'Packets of subscribers that went to the network.', data.packetsToTun),
      total('packets_from_network', 'Packets of the network for subscribers.', data.packetsFromTun),
      ...this.#drops().map(({ reason, packets }) =>
        total('dropped_packets', 'Packets and messages that ended here.', packets, reason),
      ),
      ...this.events.totals().byType.map(({ type, count }) => total('events', 'What happened.', count, type)),
      ...this.#master().flatMap(({ state, restarts }) => [
        gauge(
          'master_part_running',
          '1 while the master part that this endpoint carries is ready.',
          state === 'running' ? 1 : 0,
        ),
        total('master_part_restarts', 'Starts of the master part after its first.', restarts),
      ]),
      ...(lns.offload?.metrics() ?? []),
    ];
  }

  // ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #disconnect(): EndpointCommand {
    return {
      description: 'end the sessions of a user, one session, or all of a tunnel',
      body: {
        type: 'object',
        additionalProperties: false,
        minProperties: 1,
        properties: {
          user: { type: 'string', minLength: 1, maxLength: 253 },
          tunnel: { type: 'integer', minimum: 1, maximum: 0xffff },
          session: { type: 'integer', minimum: 1, maximum: 0xffff },
        },
      },
      run: (body) => {
        const lns = this.#lns;
        if (!lns.started) throw new DesignatorError('TD_CONFLICT', 'the LNS has not started yet');
        const filter = body as TableFilter;
        const chosen = [...lns.subscribers.all()].filter((subscriber) => matches(subscriber, filter));
        if (chosen.length === 0) throw new DesignatorError('TD_NOT_FOUND', 'no such session', { ...body });
        for (const subscriber of chosen) lns.subscribers.end(subscriber, 'operator', lns.now());
        lns.loop.wake();
        return { ended: chosen.length };
      },
    };
  }
}

function matches({ session, user, call }: Subscriber, filter: TableFilter): boolean {
  if (filter.tunnel !== undefined && session.tunnel.localId !== filter.tunnel) return false;
  if (filter.session !== undefined && session.localId !== filter.session) return false;
  if (filter.user !== undefined && user !== filter.user) return false;
  const { port } = session.tunnel.peer;
  return filter.client === undefined || endpointText(call.peerAddress, port) === filter.client;
}

function endpointText(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
