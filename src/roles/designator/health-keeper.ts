/**
 * Health in the main thread: lets servers be judged several times a second, and tells shards and log what has come of it.
 */
import { randomInt } from 'node:crypto';
import type { CompiledConfig } from '../../config/compiled.js';
import type { ShardMessage } from '../../dataplane/plan.js';
import type { ProbePlace } from '../../dataplane/probe-ear.js';
import { udpFrame } from '../../dataplane/tunnel-voice.js';
import { Health } from '../../designation/health.js';
import type { ServerStateChange, ServerStates } from '../../designation/server-states.js';
import { AddressTable } from '../../flow/address-table.js';
import { ConnectionTable } from '../../flow/connection-table.js';
import {
  CELL_WORDS,
  FLAG_REWRITE_SOURCE,
  RECORD,
  RECORD_STATE,
  RECORD_WORDS,
  SERVER_CELL,
  SERVER_STATE,
  type TableMemory,
} from '../../flow/layout.js';
import { NextHopTable } from '../../flow/next-hop-table.js';
import type { Logger } from '../../ops/log.js';
import { type AddressWords, isIpv4 } from '../../wire/address.js';
import { ActiveCheck } from './active-check.js';
import type { Binding } from './binding.js';
import { PROBE_PORT, type ProbeHost, probeHost } from './probe-host.js';

const JUDGE_MS = 100;

/** The shards, as far as health speaks to them. */
export interface ShardMail {
  broadcast(message: ShardMessage): void;
  message(shard: number, message: ShardMessage): boolean;
}

export class HealthKeeper {
  readonly health: Health;
  readonly #memory: TableMemory;
  readonly #states: ServerStates;
  readonly #table: ConnectionTable;
  #timer: NodeJS.Timeout | null = null;

  #check: ActiveCheck | null = null;

  /** What the active check did; null: it is off. */
  get checks(): ActiveCheck['counters'] | null {
    return this.#check?.counters ?? null;
  }

  /** Server → CLOCK_MONOTONIC seconds of its last answer to the active check. */
  readonly #answered = new Map<number, number>();
  /** The active check asks for tunnels, not for an echo, which the machine answers. */
  #asksTunnels = false;
  #place: ProbePlace | null = null;
  readonly #hops: NextHopTable;
  readonly #addresses: AddressTable;
  readonly #mac = new Uint8Array(6);

  /** Servers that are asked although they are out of service: they are expected to come. */
  expects: (server: number) => boolean = () => false;

  /** CLOCK_MONOTONIC seconds of its last answer to the active check, null none. */
  answeredAt(server: number): number | null {
    return this.#answered.get(server) ?? null;
  }

  /** Servers' answers may come in at another designator that cannot hand them on to this one. */
  mayMiss: () => boolean = () => false;

  /** Seconds that the clients of a server that is down are not told, because its peer may take its tunnels over. */
  waitFor: (server: number) => number = () => 0;

  /** `now`: CLOCK_MONOTONIC seconds. `shards` is asked for when something is to be said. */
  constructor(
    readonly binding: Binding,
    config: CompiledConfig,
    readonly now: () => number,
    readonly logger: Pick<Logger, 'info' | 'warn'>,
    readonly shards: () => ShardMail,
    readonly host: ProbeHost = probeHost(config, (err) =>
      logger.warn({ err }, 'answers to the active check cannot be heard'),
    ),
  ) {
    this.#memory = binding.memory;
    this.#states = binding.states;
    this.#table = new ConnectionTable(this.#memory);
    this.health = new Health({
      memory: this.#memory,
      states: this.#states,
      settings: config.health,
      now,
      dataHeard: (server, second) => this.#dataHeard(server, second),
      probe: (server) => this.#check?.ask(server) ?? false,
      oneWay: (server) => this.binding.isOneWay(server),
      mayMiss: () => this.mayMiss(),
    });
    this.#hops = new NextHopTable(this.#memory);
    this.#addresses = new AddressTable(this.#memory);
    this.#setCheck(config.health.active);
    this.#states.slowStart = config.health.slowStart > 0;
    this.#states.listen((server, change) => this.#changed(server, change));
  }

  start(): void {
    this.#timer = setInterval(() => this.tick(), JUDGE_MS);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#setCheck(null);
    this.host.close();
  }

  setConfig(config: CompiledConfig): void {
    this.health.setSettings(config.health);
    this.#states.slowStart = config.health.slowStart > 0;
    this.#setCheck(config.health.active);
    this.shards().broadcast({ type: 'probe-place', place: this.#place });
  }

  /** A shard has started: it does not know yet who is down. */
  shardUp(shard: number): void {
    this.shards().message(shard, { type: 'probe-place', place: this.#place });
    for (const { index } of this.binding.servers) {
      if (this.#states.state(index) === SERVER_STATE.down)
        this.shards().message(shard, { type: 'server-down', server: index, wait: this.waitFor(index) });
    }
  }

  tick(): void {
    if (this.#check !== null) {
      const asked = this.binding.servers.filter(
        ({ index, removed }) => !removed && (isWatched(this.#states.state(index)) || this.expects(index)),
      );
      this.#check.tick(
        this.now(),
        asked.map(({ index }) => index),
      );
    }
    for (const { index } of this.binding.servers) this.health.judge(index);
  }

  /** The host has learnt this neighbour's link-layer address: its machine is there. */
  neighbour(words: readonly number[]): void {
    for (const { index, address } of this.binding.servers)
      if (this.#words(address).every((word, w) => word === words[w] >>> 0)) this.health.stirs(index);
  }

  /** Has any packet of the server come since then, CLOCK_MONOTONIC seconds? Data is known to the second: it errs towards yes. */
  heardSince(server: number, second: number): boolean {
    const heard = this.#memory.servers[server * CELL_WORDS + SERVER_CELL.heard];
    if (heard !== 0 && ((heard - (Math.floor(second * 1000) | 0)) | 0) >= 0) return true;
    const answered = this.#answered.get(server);
    if (answered !== undefined && answered >= second) return true;
    return this.#dataHeard(server, Math.floor(second) - 1);
  }

  /**
   * A server that is silent, and that somebody takes for dead: true where the active check cannot ask the tunnel server
   * itself. Else it is asked, and what the answer is health will know.
   */
  confirmDead(server: number): boolean {
    return !this.#asksTunnels || this.#check === null || !this.#check.ask(server);
  }

  /** Answers to the active check. */
  heard(payloads: readonly Uint8Array[]): void {
    for (const payload of payloads) this.#check?.received(payload);
  }

  // ── active check ──────────────────────────────────────────────────────────────────────────────────────────────────

  #setCheck(settings: CompiledConfig['health']['active']): void {
    this.#check?.close();
    this.#check = null;
    this.#place = null;
    this.#asksTunnels = settings?.type === 'l2tp';
    const addresses = settings === null ? [] : this.host.addresses();
    // Answers of servers whose packets do not pass here are the host's.
    const isOneWay = this.#asksTunnels && this.binding.vips.some(({ oneWay }) => oneWay === true);
    this.host.listen?.(isOneWay ? addresses : [], PROBE_PORT, (payload) => this.heard([payload]));
    if (settings === null) return;
    if (settings.type === 'l2tp') {
      this.#place = { port: PROBE_PORT, addresses };
      if (addresses.length === 0)
        this.logger.warn({}, 'the active check needs an address of the host on the inside interface; it cannot ask');
    }
    this.#check = new ActiveCheck({
      settings,
      send: (server, payload) => this.#sendProbe(server, addresses, payload),
      echo: (server, timeout) => this.#echo(server, timeout),
      randomId: () => randomInt(1, 0x10000),
      answered: (server) => {
        this.#answered.set(server, this.now());
        this.health.probeAnswered(server);
      },
      failed: (server, since, detail) => this.health.probeFailed(server, since, detail),
    });
  }

  #words(index: number): AddressWords {
    const word = (w: number): number => this.#addresses.word(index, w) >>> 0;
    return [word(0), word(1), word(2), word(3)];
  }

  /** Through a shard, which hears the answers too: the host's own stack has no part in it. */
  #sendProbe(server: number, addresses: readonly AddressWords[], payload: Uint8Array): boolean {
    const bound = this.binding.servers.find(({ index }) => index === server);
    const hop = this.#memory.servers[server * CELL_WORDS + SERVER_CELL.nextHop];
    if (bound === undefined || !this.#hops.mac(hop, this.#mac)) return false;
    const words = this.#words(bound.address);
    const source = nearest(addresses, words);
    if (source === null) return false;
    const port = this.#hops.port(hop);
    const from = { words: source, port: PROBE_PORT };
    const frame = udpFrame(this.host.mac(port), this.#mac, from, { words, port: bound.port }, payload);
    return this.shards().message(0, { type: 'transmit', frames: [{ port, frame }] });
  }

  async #echo(server: number, timeout: number): Promise<boolean | null> {
    const bound = this.binding.servers.find(({ index }) => index === server);
    if (bound === undefined) return null;
    try {
      return await this.host.echo(this.#words(bound.address), timeout * 1000);
    } catch (error) {
      this.logger.warn({ err: error }, 'the active check cannot ask for an echo');
      return null;
    }
  }

  // ── what has come of it ───────────────────────────────────────────────────────────────────────────────────────────

  #changed(server: number, { from, to, reason, detail }: ServerStateChange): void {
    const { binding, logger } = this;
    const pool = this.shards();
    if (to === 'down') pool.broadcast({ type: 'server-down', server, wait: this.waitFor(server) });
    else if (from === 'down') pool.broadcast({ type: 'server-back', server });
    // What the XDP program may forward depends on it, but suspicion alone takes nothing from it.
    if (mayForward(from) !== mayForward(to)) pool.broadcast({ type: 'review' });
    if (from === 'free') return;
    const name = binding.servers.find(({ index }) => index === server)?.name;
    const fields = { server: name, from, to, reason, detail: detail || undefined };
    if (to === 'down' || to === 'suspect') logger.warn(fields, `server is ${to}`);
    else logger.info(fields, `server is ${to}`);
  }

  /** Walks all tunnels until one of the server's has had a packet of it later than in that second. */
  #dataHeard(server: number, second: number): boolean {
    const { records, layout } = this.#memory;
    const table = this.#table;
    for (let record = 0, at = 0; record < layout.recordCount; record++, at += RECORD_WORDS) {
      if ((records[at + RECORD.place] & 0xffff) !== server) continue;
      if ((records[at + RECORD.state] & 0xff) === RECORD_STATE.free) continue;
      const slot = records[at + RECORD.entryReverse] - 1;
      if (slot < 0 || (table.flagsOf(slot) & FLAG_REWRITE_SOURCE) === 0) continue;
      // An entry that nothing has gone through yet was stamped when it was made.
      if (table.lastSeen(slot) > second && table.packets(slot) > 0) return true;
    }
    return false;
  }
}

function mayForward(state: ServerStateChange['to']): boolean {
  return state === 'up' || state === 'slow-start' || state === 'suspect';
}

function isWatched(state: number): boolean {
  return state !== SERVER_STATE.free && state !== SERVER_STATE.disabled && state !== SERVER_STATE.inactive;
}

/** The address of the destination's family that has the most leading bits in common with it. */
function nearest(addresses: readonly AddressWords[], destination: AddressWords): AddressWords | null {
  const v4 = isIpv4(destination[0], destination[1], destination[2]);
  let best: AddressWords | null = null;
  let most = -1;
  for (const words of addresses) {
    if (isIpv4(words[0], words[1], words[2]) !== v4) continue;
    let common = 0;
    for (let w = 0; w < 4; w++) {
      const zeros = Math.clz32(words[w] ^ destination[w]);
      common += zeros;
      if (zeros < 32) break;
    }
    if (common > most) {
      most = common;
      best = words;
    }
  }
  return best;
}
