/** The shared table of a designator that is a member of a cluster: what the desk needs of it. */
import type { ForeignFrame } from '../../../dataplane/plan.js';
import type { DesignatorOptions, DesignatorProcess } from '../designator.js';
import type { ClusterDesk } from './cluster-desk.js';
import { ShareDesk } from './share-desk.js';
import { SharedTable } from './share-memory.js';

export class TunnelShare {
  readonly table: SharedTable;
  readonly #process: DesignatorProcess;
  readonly #options: DesignatorOptions;
  readonly #floating: (ports: readonly number[]) => void;
  #desk: ShareDesk | null = null;

  /** Before any shard runs. */
  constructor(process: DesignatorProcess, options: DesignatorOptions, floating: (ports: readonly number[]) => void) {
    this.#process = process;
    this.#options = options;
    this.#floating = floating;
    this.table = new SharedTable(process.table.memory, process.shards);
  }

  get desk(): ShareDesk | null {
    return this.#desk;
  }

  /** The bus is open and routes are known. */
  start(): void {
    const { cluster, pool, host, addon, config, shards } = this.#process;
    if (cluster === null) return;
    const mac = (device: string): Uint8Array => addon.interfaceInfo(device).mac;
    const desk = new ShareDesk({
      table: this.table,
      bus: cluster.bus,
      facts: () => cluster.facts(),
      rate: cluster.config.share.rate,
      shards,
      message: (shard, message) => pool.message(shard, message),
      macs: [mac(config.outside.device), mac(config.inside.device)],
      wanted: (hops) => host.neighbours.wanted(hops),
      floating: this.#floating,
      groupHears: (number) => this.#process.groups?.hears(number) ?? false,
      now: () => addon.monotonicSeconds(),
      logger: this.#options.logger.child({ part: 'cluster' }),
      events: this.#process.events.log,
    });
    desk.setRoutes(host.routes);
    // By the group one knows it in a third of a second. Should the numbers there be other ones, the bus knows better.
    if (this.#process.groups !== null) this.#process.groups.onMemberDown = (number) => desk.memberGone(number);
    cluster.attach({
      rows: () => desk.rows(),
      refused: () => desk.refused(),
      counters: () => desk.totals(),
    });
    this.#desk = desk;
    this.#process.rows.writerOf = writerNames(cluster, desk, () => addon.monotonicSeconds());
  }

  foreign(frames: readonly ForeignFrame[]): void {
    this.#desk?.foreign(frames);
  }

  async stop(): Promise<void> {
    await this.#desk?.stop();
  }
}

/** Names by records; members are looked at once a second, since a table may have a row for each of a million tunnels. */
function writerNames(cluster: ClusterDesk, desk: ShareDesk, now: () => number): (record: number) => string | null {
  let names = new Map<number, string | null>();
  let readAt = Number.NEGATIVE_INFINITY;
  return (record) => {
    const number = desk.writerOfRecord(record);
    if (number === null || number === cluster.number) return null;
    if (now() > readAt + 1) {
      readAt = now();
      names = new Map(cluster.members().map((member) => [member.number, member.told.name]));
    }
    return names.get(number) ?? String(number);
  };
}

/** null: no table is shared. */
export function openShare(
  process: DesignatorProcess,
  options: DesignatorOptions,
  floating: (ports: readonly number[]) => void,
): TunnelShare | null {
  return options.config.cluster?.share.tunnels === true ? new TunnelShare(process, options, floating) : null;
}
