/**
 * Health in the main thread: lets servers be judged several times a second, and tells shards and log what has come of it.
 */
import type { CompiledConfig } from '../../config/compiled.js';
import type { ShardMessage } from '../../dataplane/plan.js';
import { Health } from '../../designation/health.js';
import type { ServerStateChange, ServerStates } from '../../designation/server-states.js';
import { ConnectionTable } from '../../flow/connection-table.js';
import {
  FLAG_REWRITE_SOURCE,
  RECORD,
  RECORD_STATE,
  RECORD_WORDS,
  SERVER_STATE,
  type TableMemory,
} from '../../flow/layout.js';
import type { Logger } from '../../ops/log.js';
import type { Binding } from './binding.js';

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

  /** `now`: CLOCK_MONOTONIC seconds. `shards` is asked for when something is to be said. */
  constructor(
    readonly binding: Binding,
    config: CompiledConfig,
    now: () => number,
    readonly logger: Pick<Logger, 'info' | 'warn'>,
    readonly shards: () => ShardMail,
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
    });
    this.#states.listen((server, change) => this.#changed(server, change));
  }

  start(): void {
    this.#timer = setInterval(() => this.tick(), JUDGE_MS);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  setConfig(config: CompiledConfig): void {
    this.health.setSettings(config.health);
  }

  /** A shard has started: it does not know yet who is down. */
  shardUp(shard: number): void {
    for (const { index } of this.binding.servers) {
      if (this.#states.state(index) === SERVER_STATE.down)
        this.shards().message(shard, { type: 'server-down', server: index });
    }
  }

  tick(): void {
    for (const { index } of this.binding.servers) this.health.judge(index);
  }

  #changed(server: number, { from, to, reason, detail }: ServerStateChange): void {
    const { binding, logger } = this;
    const pool = this.shards();
    if (to === 'down') pool.broadcast({ type: 'server-down', server });
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
