/** Sums over sessions since the start; in is from the subscribers. */
export interface Traffic {
  readonly packetsIn: number;
  readonly packetsOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export function addTraffic(sum: { -readonly [K in keyof Traffic]: Traffic[K] }, counters: Traffic): void {
  sum.packetsIn += counters.packetsIn;
  sum.packetsOut += counters.packetsOut;
  sum.bytesIn += counters.bytesIn;
  sum.bytesOut += counters.bytesOut;
}
