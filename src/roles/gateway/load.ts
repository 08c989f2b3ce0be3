/** How loaded this gateway is, and how much goes through each of its virtual MACs; measured at every look. */
import type { GatewayLoad } from '../../gateway/types.js';
import type { VirtualMacTraffic } from '../../io/gateway-types.js';
import { readCpuTicks } from '../agent/readings.js';

const BITS = 8;

/** Share of processor time of the machine, 0 … 1, between the last two looks. */
export class ProcessorLoad {
  share = 0;
  #ticks: readonly [number, number] | null = null;

  /** `text`: of /proc/stat. */
  look(text: string): void {
    const ticks = readCpuTicks(text);
    const last = this.#ticks;
    if (ticks !== null && last !== null && ticks[1] > last[1])
      this.share = Math.min(1, Math.max(0, (ticks[0] - last[0]) / (ticks[1] - last[1])));
    this.#ticks = ticks;
  }
}

/** Rates of one group, by the counters of its virtual MACs. */
export class TrafficRates {
  #last: { readonly at: number; readonly bytes: number; readonly packets: number } | null = null;

  /** `capacity`: bits a second that are a load of 1; null: only the processor counts. */
  look(
    traffic: ReadonlyMap<number, VirtualMacTraffic>,
    now: number,
    processor: number,
    capacity: number | null,
  ): GatewayLoad {
    let bytes = 0;
    let packets = 0;
    for (const count of traffic.values()) {
      bytes += count.bytes;
      packets += count.packets;
    }
    const last = this.#last;
    const elapsed = last === null ? 0 : now - last.at;
    // Two looks in one moment make no rate; the next one covers the time of both.
    if (last === null || elapsed > 0) this.#last = { at: now, bytes, packets };
    const rate = (value: number, before: number): number => (elapsed > 0 ? Math.max(0, value - before) / elapsed : 0);
    const bitsPerSecond = rate(bytes, last?.bytes ?? bytes) * BITS;
    const packetsPerSecond = rate(packets, last?.packets ?? packets);
    const share = Math.min(1, Math.max(processor, capacity === null ? 0 : bitsPerSecond / capacity));
    return { share, bitsPerSecond, packetsPerSecond, perForwarder: traffic };
  }
}
