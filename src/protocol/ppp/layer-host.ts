/** What the layers of a link have in common: settings, counters, and the queues of frames and events on the way out. */
import { buildPppControl } from '../../wire/ppp.js';
import type { AuthHost } from './authentication.js';
import type { PppCounters } from './counters.js';
import type { PppEvent } from './events.js';
import type { PppOptions } from './options.js';
import { type Resolved, resolveOptions } from './resolve.js';

/** Links are silent nearly always: the empty queues are one for all. Nobody writes to them. */
const NOTHING_SENT: Uint8Array[] = [];
const NO_EVENTS: PppEvent[] = [];

export abstract class LayerHost implements AuthHost {
  protected readonly resolved: Resolved;
  #out: Uint8Array[] = NOTHING_SENT;
  #events: PppEvent[] = NO_EVENTS;

  constructor(protected readonly options: PppOptions) {
    this.resolved = resolveOptions(options);
  }

  get timers(): Resolved['timers'] {
    return this.resolved.timers;
  }

  get counters(): PppCounters {
    return this.resolved.counters;
  }

  get random(): (length: number) => Uint8Array {
    return this.options.random;
  }

  get restart(): number {
    return this.resolved.timers.restart;
  }

  get tries(): number {
    return this.resolved.timers.maxConfigure;
  }

  /** A layer's packet, to be sent with the next `output`. */
  send(protocol: number, code: number, id: number, data: Uint8Array): void {
    this.counters.framesOut++;
    const frame = buildPppControl(protocol, code, id, data);
    if (this.#out === NOTHING_SENT) this.#out = [frame];
    else this.#out.push(frame);
  }

  /** What has happened since the last call. */
  events(): PppEvent[] {
    const events = this.#events;
    this.#events = NO_EVENTS;
    return events;
  }

  protected emit(event: PppEvent): void {
    if (this.#events === NO_EVENTS) this.#events = [event];
    else this.#events.push(event);
  }

  protected get pending(): boolean {
    return this.#out !== NOTHING_SENT;
  }

  protected takeFrames(): Uint8Array[] {
    const out = this.#out;
    this.#out = NOTHING_SENT;
    return out;
  }
}
