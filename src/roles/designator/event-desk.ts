/**
 * Where events come together: the log, the shards' rings and the pump between them, and what the main thread itself
 * has to tell.
 */
import type { ServerStates } from '../../designation/server-states.js';
import { EVENT_RING_SLOTS, EventRing } from '../../flow/event-ring.js';
import { EventLog } from '../../ops/events.js';
import type { Binding } from './binding.js';
import { EventPump } from './event-pump.js';

export class EventDesk {
  readonly log = new EventLog();
  /** One a shard, for its task. */
  readonly memory: readonly SharedArrayBuffer[];
  readonly #pump: EventPump;
  /** The name of a firewall rule, by its place in the configuration. */
  ruleName: (rule: number) => string | null = () => null;

  /** `now`: CLOCK_MONOTONIC seconds. */
  constructor(shards: number, binding: Binding, states: ServerStates, now: () => number) {
    this.memory = Array.from({ length: shards }, () => new SharedArrayBuffer(EventRing.byteLength(EVENT_RING_SLOTS)));
    const rings = this.memory.map((buffer) => new EventRing(buffer));
    this.#pump = new EventPump(this.log, rings, binding, now, (rule) => this.ruleName(rule));
    states.listen((index, { from, to, reason, detail }) => {
      const server = binding.servers.find((bound) => bound.index === index);
      const vip = binding.vips.find((bound) => bound.index === server?.vip);
      this.log.emit('server-state', {
        server: server?.name,
        vip: vip?.name,
        from,
        to,
        reason,
        detail: detail || undefined,
      });
    });
  }

  start(): void {
    this.#pump.start();
  }

  /** After the shards have ended: what they said last is told, then every stream ends. */
  stop(): void {
    this.#pump.stop();
    this.log.close();
  }
}
