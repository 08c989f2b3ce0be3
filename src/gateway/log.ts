/** The events of a group until its caller takes them; a trouble that lasts is told once a minute. */
import type { Mac } from './mac.js';
import type { GatewayEvent, GatewayEventKind } from './types.js';

const LIMIT = 4096;
const TROUBLE_EVERY = 60;
const TROUBLES_LIMIT = 256;

export class EventLog {
  /** Events that nobody took in time. */
  overflow = 0;
  #events: GatewayEvent[] = [];
  readonly #troubles = new Map<string, number>();

  add(at: number, kind: GatewayEventKind, number: number, text: string, mac: Mac | null = null): void {
    if (this.#events.length < LIMIT) this.#events.push({ at, kind, number, mac, text });
    else this.overflow++;
  }

  /** What is told once a minute, of each kind and member. */
  trouble(at: number, kind: GatewayEventKind, number: number, text: string, mac: Mac | null = null): void {
    // Not by station: who has forged messages has forged addresses as well.
    const key = `${kind} ${number}`;
    const last = this.#troubles.get(key);
    if (last !== undefined && at - last < TROUBLE_EVERY) return;
    this.#troubles.delete(key);
    if (this.#troubles.size >= TROUBLES_LIMIT) this.#troubles.delete(this.#troubles.keys().next().value as string);
    this.#troubles.set(key, at);
    this.add(at, kind, number, text, mac);
  }

  take(): GatewayEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }
}
