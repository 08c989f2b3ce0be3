/**
 * Load status messages over the bus: what an endpoint tells one designator, or tells the bus itself, all designators of
 * the cluster hear. A message stays as its endpoint sealed it; nobody can speak for another.
 */
import { type CounterRow, counterRow } from '../../../ops/appliance.js';
import type { LoadKeeper } from '../load-keeper.js';
import type { ClusterDesk } from './cluster-desk.js';

/** Messages that are told on in a second: a thousand servers that speak once a second, twice over. */
const RATE = 2000;

export class LoadRelay {
  #tokens = RATE;
  #tokensAt: number;
  told = 0;
  dropped = 0;

  constructor(
    readonly desk: ClusterDesk,
    readonly load: LoadKeeper,
  ) {
    this.#tokensAt = desk.now();
    desk.onNotice('load-status', (from, body) => load.relayed(body, `member ${from}`));
    load.onDirect = (bytes) => this.#tell(bytes);
  }

  counters(): CounterRow[] {
    return [
      counterRow('load-status-told', this.told, 'load status messages that were told to the other members'),
      counterRow('load-status-not-told', this.dropped, `such messages beyond ${RATE} a second`),
      counterRow('load-status-relayed', this.load.relays, 'load status messages that came over the cluster’s bus'),
      counterRow('load-status-twice', this.load.twice, 'load status messages that had come another way before'),
    ];
  }

  #tell(bytes: Uint8Array): void {
    const now = this.desk.now();
    this.#tokens = Math.min(RATE, this.#tokens + (now - this.#tokensAt) * RATE);
    this.#tokensAt = now;
    if (this.#tokens < 1) {
      this.dropped++;
      return;
    }
    this.#tokens--;
    if (this.desk.notify('load-status', bytes)) this.told++;
  }
}
