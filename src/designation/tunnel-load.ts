/**
 * What one more tunnel is expected to add to a server's load: its own load for each of its tunnels, drawn towards that of
 * all servers of the VIP the fewer it has. A server that has just become empty says nothing of what tunnels weigh; were it
 * taken at its word, a whole second's requests would go there.
 */
export interface ReportedTunnels {
  readonly load: number;
  readonly tunnels: number;
}

/** So many tunnels of the common kind stand beside a server's own. */
const COMMON_TUNNELS = 16;

export class TunnelLoads {
  /** By server index, with the VIP that it counts for. */
  readonly #reports = new Map<number, ReportedTunnels & { readonly vip: number }>();
  readonly #sums = new Map<number, { load: number; tunnels: number }>();

  /** A server of this VIP reported; returns the expectation in the unit of its load, at least `least`. */
  report(server: number, vip: number, load: number, tunnels: number, least: number): number {
    this.forget(server);
    this.#reports.set(server, { load, tunnels, vip });
    const sum = this.#sums.get(vip) ?? { load: 0, tunnels: 0 };
    sum.load += load;
    sum.tunnels += tunnels;
    this.#sums.set(vip, sum);
    const common = sum.tunnels === 0 ? 0 : sum.load / sum.tunnels;
    return Math.max(least, (load + COMMON_TUNNELS * common) / (tunnels + COMMON_TUNNELS));
  }

  /** What it reported counts no more. */
  forget(server: number): void {
    const before = this.#reports.get(server);
    if (before === undefined) return;
    this.#reports.delete(server);
    const sum = this.#sums.get(before.vip);
    if (sum === undefined) return;
    sum.load -= before.load;
    sum.tunnels -= before.tunnels;
  }
}
