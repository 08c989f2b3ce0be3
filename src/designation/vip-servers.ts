/** The servers of one VIP as one thread's plan has them: their order, their ranking, and what configuration says. */
import { SERVER_CELL, SERVER_FLAG, SERVER_LIMIT, VIP_CELL } from '../flow/layout.js';
import type { Algorithm } from './algorithm.js';
import { Ranking } from './ranking.js';
import type { ServerTable } from './servers.js';

/** What a server does that has no fresh load status, under least-load. */
export type LoadFallback = 'least-tunnels' | 'least-sessions' | 'least-recent-use' | 'none';

/** What of a request groups it with others. */
export type GroupKey = 'host-name' | 'realm' | 'calling-number';

/** What a VIP's algorithm is told. */
export interface DesignationVip {
  /** Index of the VIP cell. */
  readonly index: number;
  readonly algorithm: string;
  /** Server cell indices in the order of the configuration. */
  readonly servers: Int32Array;
  /** leaky-bucket: tunnels a second and at once, for each unit of weight. */
  readonly bucket?: { readonly rate: number; readonly burst: number };
  readonly loadFallback?: LoadFallback;
  /** Requests may come with a group's key. */
  readonly groupBy?: GroupKey;
}

const DEFAULT_BUCKET = { rate: 50, burst: 50 };
const ALGORITHM_FLAGS = SERVER_FLAG.countsTunnels | SERVER_FLAG.countsSessions | SERVER_FLAG.heldBack;

export class VipServers {
  readonly servers: Int32Array;
  readonly ranking: Ranking;
  /** leaky-bucket: see DesignationVip. */
  readonly rate: number;
  readonly burst: number;
  readonly index: number;
  readonly #positions = new Int16Array(SERVER_LIMIT).fill(-1);
  /** Two threads whose plans differ must not go on with one ranking. */
  readonly #signature: number;
  readonly #ranker: number;

  constructor(
    readonly cells: ServerTable,
    vip: DesignationVip,
    readonly algorithm: Algorithm,
  ) {
    this.index = vip.index;
    this.servers = vip.servers;
    ({ rate: this.rate, burst: this.burst } = vip.bucket ?? DEFAULT_BUCKET);
    this.servers.forEach((server, position) => {
      this.#positions[server] = position;
    });
    this.ranking = new Ranking(cells, vip.index, vip.servers, algorithm);
    this.#ranker = hash(vip.algorithm);
    const settings = `${vip.algorithm} ${this.rate} ${this.burst} ${vip.loadFallback ?? ''} ${cells.slowStartSeconds}`;
    this.#signature = hash(`${settings} ${vip.servers.join()}`);
  }

  /** Position in the configuration, −1 for a server of another VIP. */
  position(server: number): number {
    return this.#positions[server];
  }

  /** The ranking in shared memory is the one that this plan means. */
  get isRanked(): boolean {
    return this.cells.vip(this.index, VIP_CELL.ranking) === this.#signature;
  }

  /** Lock held: makes the ranking. What the algorithm itself remembers stays, when it was its own. */
  rank(): void {
    const { cells, index } = this;
    const isNew = cells.vip(index, VIP_CELL.ranker) !== this.#ranker;
    let total = 0;
    for (const server of this.servers) {
      if (isNew) cells.set(server, SERVER_CELL.share, 0);
      total += cells.share(server);
    }
    cells.setVip(index, VIP_CELL.ranker, this.#ranker);
    cells.setVip(index, VIP_CELL.totalShare, total);
    for (const server of this.servers) this.#follow(server, isNew);
    this.ranking.rebuild();
    this.#count();
    cells.setVip(index, VIP_CELL.ranking, this.#signature);
  }

  /** Lock held: one of the servers has changed. */
  update(server: number): void {
    this.#follow(server, false);
    if (this.algorithm.ranking === 'none') this.#count();
    else this.ranking.replay(this.position(server));
  }

  /** A thread that keeps something of its own sees that it must look again. */
  #count(): void {
    this.cells.setVip(this.index, VIP_CELL.changes, (this.cells.vip(this.index, VIP_CELL.changes) + 1) | 0);
  }

  #follow(server: number, isNew: boolean): void {
    const { cells, algorithm } = this;
    const before = cells.get(server, SERVER_CELL.flags);
    const flags = (before & ~ALGORITHM_FLAGS) | (algorithm.flags?.(server) ?? algorithm.counts);
    // In one store, before any count is read: who counts outside the lock must not find the flag gone for a moment.
    if (flags !== before) cells.storeFlags(server, flags);
    if (algorithm.update === undefined) cells.set(server, SERVER_CELL.share, cells.shareNow(server));
    else algorithm.update(server, this, isNew);
  }

  /** How many may take a tunnel, for `explain`. */
  get eligible(): number {
    return this.servers.reduce((count, server) => count + (this.cells.eligible(server) ? 1 : 0), 0);
  }
}

/** FNV-1a over the text's characters, never 0. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h | 0 || 1;
}
