/** The calls of one tunnel: by either end's id, and those that are being set up in the order of their deadlines. */
import type { L2tpSession } from './session.js';

const ID_MAX = 0xffff;

export class CallSet {
  readonly byId = new Map<number, L2tpSession>();
  readonly #byPeerId = new Map<number, L2tpSession>();
  /** The oldest first; those that stand or have ended leave when they come first. */
  #pending: L2tpSession[] = [];

  /** An id that no call has, at or after this one. */
  freeId(from: number): number {
    let id = from & ID_MAX;
    while (id === 0 || this.byId.has(id)) id = (id + 1) & ID_MAX;
    return id;
  }

  byPeerId(peerId: number): L2tpSession | undefined {
    return this.#byPeerId.get(peerId);
  }

  add(session: L2tpSession): void {
    this.byId.set(session.localId, session);
    if (session.peerId !== 0) this.#byPeerId.set(session.peerId, session);
    if (session.state !== 'established') this.#pending.push(session);
  }

  setPeerId(session: L2tpSession, peerId: number): void {
    session.peerId = peerId;
    this.#byPeerId.set(peerId, session);
  }

  remove(session: L2tpSession): void {
    if (this.byId.get(session.localId) === session) this.byId.delete(session.localId);
    if (this.#byPeerId.get(session.peerId) === session) this.#byPeerId.delete(session.peerId);
  }

  clear(): void {
    this.byId.clear();
    this.#byPeerId.clear();
    this.#pending = [];
  }

  /** Takes out those whose set-up has taken too long. */
  expired(now: number): readonly L2tpSession[] {
    if (this.#pending.length === 0) return this.#pending;
    const expired: L2tpSession[] = [];
    let count = 0;
    for (const session of this.#pending) {
      const waits = this.byId.get(session.localId) === session && session.state !== 'established';
      if (waits && session.deadline > now) break;
      count++;
      if (waits) expired.push(session);
    }
    if (count > 0) this.#pending.splice(0, count);
    return expired;
  }

  /** When `expired` should be called next. */
  get nextTime(): number {
    return this.#pending.length === 0 ? Number.POSITIVE_INFINITY : this.#pending[0].deadline;
  }
}
