/**
 * The sessions of tunnels in the shared memory, as control messages show them. Only the shard that owns the tunnel's
 * client calls this; other threads read.
 */
import { RECORD_STATE, SESSION, SESSION_STATE } from '../flow/layout.js';
import { SHARD_EVENT } from './event-tap.js';
import type { TunnelStore } from './tunnel-store.js';

export class Sessions {
  readonly #store: TunnelStore;

  constructor(store: TunnelStore) {
    this.#store = store;
  }

  /** A session is asked for. False when the session table is full (it then works unlisted). */
  request(record: number, fromClient: boolean, id: number): boolean {
    if (id === 0) return true;
    if (this.#find(record, fromClient, id) >= 0) return true; // repeated
    this.#store.lock.acquire(this.#store.shard);
    const session = this.#store.pool.allocateSession(record);
    this.#store.lock.release(this.#store.shard);
    if (session < 0) return false;
    this.#store.pool.setSessionWord(session, fromClient ? SESSION.clientId : SESSION.serverId, id);
    this.#store.pool.setSessionWord(session, SESSION.state, SESSION_STATE.requested);
    // A closing tunnel counts no more: what came in here would never be taken off again.
    if (this.#store.state(record) !== RECORD_STATE.closing)
      this.#store.servers.addSessions(this.#store.serverIndex(record), 1);
    this.#tell(SHARD_EVENT.sessionRequested, record, session, -1);
    this.#store.share?.changed(record);
    return true;
  }

  /** `session` is the id of the side that asked, `assigned` the answerer's. */
  reply(record: number, fromClient: boolean, session: number, assigned: number): void {
    const found = this.#find(record, !fromClient, session);
    if (found < 0) return;
    this.#store.pool.setSessionWord(found, fromClient ? SESSION.clientId : SESSION.serverId, assigned);
    if (this.#store.pool.sessionWord(found, SESSION.state) === SESSION_STATE.requested) {
      this.#store.pool.setSessionWord(found, SESSION.state, SESSION_STATE.replied);
    }
    this.#store.share?.changed(record);
  }

  connect(record: number, fromClient: boolean, session: number): void {
    const found = this.#find(record, !fromClient, session);
    if (found < 0 || this.#store.pool.sessionWord(found, SESSION.state) === SESSION_STATE.established) return;
    this.#store.pool.setSessionWord(found, SESSION.state, SESSION_STATE.established);
    this.#tell(SHARD_EVENT.sessionEstablished, record, found, -1);
    this.#store.share?.changed(record);
  }

  /** `session` from the header is the receiver's id (may be 0), `assigned` the sender's. */
  close(record: number, fromClient: boolean, session: number, assigned: number, result = -1): void {
    let found = assigned === 0 ? -1 : this.#find(record, fromClient, assigned);
    if (found < 0 && session !== 0) found = this.#find(record, !fromClient, session);
    if (found < 0) return;
    this.#tell(SHARD_EVENT.sessionClosed, record, found, result);
    this.#store.lock.acquire(this.#store.shard);
    this.#store.pool.freeSession(record, found);
    this.#store.lock.release(this.#store.shard);
    // A closing tunnel's sessions have been taken off the server's count already.
    if (this.#store.state(record) !== RECORD_STATE.closing)
      this.#store.servers.addSessions(this.#store.serverIndex(record), -1);
    this.#store.share?.changed(record);
  }

  #tell(kind: number, record: number, session: number, result: number): void {
    const { events, pool } = this.#store;
    if (events === null) return;
    const clientId = pool.sessionWord(session, SESSION.clientId);
    events.session(kind, record, clientId, pool.sessionWord(session, SESSION.serverId), result);
  }

  /** Session with this id of the client's (or the server's) choosing, or −1. */
  #find(record: number, ofClient: boolean, id: number): number {
    return ofClient ? this.#store.pool.sessionByClientId(record, id) : this.#store.pool.sessionByServerId(record, id);
  }
}
