/**
 * Messages of tunnels that another designator has: those that it is known to write, those that nobody here knows. By the
 * gateway group where there is one, from virtual MAC to virtual MAC; else over the cluster's bus. A member that has just
 * returned may have no virtual MAC yet and tunnels all the same: while there is one, the bus comes first.
 */
import { VERDICT_HANDED } from '../io/port.js';
import { type Batch, KIND_DONE } from './batch.js';
import { drop } from './classify.js';
import { COUNTER } from './counters.js';
import { DROP } from './drop-reasons.js';
import type { Relay } from './relay.js';
import type { ServerWatch } from './server-watch.js';
import { TO_ANYBODY } from './share.js';
import type { TunnelStore } from './tunnel-store.js';

export interface ElsewhereParts {
  readonly store: TunnelStore;
  readonly relay: Relay;
  readonly watch: ServerWatch;
  readonly statistics: Float64Array;
}

export class Elsewhere {
  readonly #p: ElsewhereParts;

  constructor(parts: ElsewhereParts) {
    this.#p = parts;
  }

  /** To the writer of this record, which alone answers for the dialogue. */
  foreign(batch: Batch, i: number, record: number, fromClient: boolean): void {
    const { store, relay, watch, statistics } = this.#p;
    if (!fromClient) watch.heard(store.serverIndex(record));
    const byBus = relay.goesByBus(batch, i, fromClient);
    if (byBus && this.#hand(batch, i, record, fromClient, COUNTER.toWriters)) return;
    if (relay.take(batch, i, fromClient, true)) return;
    if (!byBus && this.#hand(batch, i, record, fromClient, COUNTER.toWriters)) return;
    drop(batch, i, statistics, DROP['foreign-tunnel']);
  }

  /** To whoever has the tunnel, if some member made it a moment ago. False: there is nobody to ask. */
  unknown(batch: Batch, i: number, fromClient: boolean): boolean {
    const { relay } = this.#p;
    const byBus = relay.goesByBus(batch, i, fromClient);
    if (byBus && this.#hand(batch, i, TO_ANYBODY, fromClient, COUNTER.toMembers)) return true;
    if (relay.take(batch, i, fromClient)) return true;
    return !byBus && this.#hand(batch, i, TO_ANYBODY, fromClient, COUNTER.toMembers);
  }

  /** What a member of the group handed on has been told to all who may have it. */
  #hand(batch: Batch, i: number, record: number, fromClient: boolean, counter: number): boolean {
    if (this.#p.relay.wasTaken(batch, i, fromClient)) return false;
    if (this.#p.store.share?.hand(batch, i, record) !== true) return false;
    this.#p.statistics[counter]++;
    batch.kind[i] = KIND_DONE;
    batch.columns.verdict[i] = VERDICT_HANDED;
    return true;
  }
}
