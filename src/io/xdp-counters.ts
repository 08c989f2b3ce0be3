/** What the XDP program counts, by name: native/bpf/counters.h says the same to the program. Per-CPU values of u64. */
import type { NativeBpf } from './native.js';

/**
 * Indices of td_counters. Forwarded packets are counted once each, by direction and by the way they left;
 * `xdpTotals` makes the sums.
 */
export const XDP_COUNTER = {
  inToOutside: 0, // client → server, redirected out of the device of PORT_OUTSIDE (a server that is reached there)
  inToInside: 1, // client → server, redirected out of the device of PORT_INSIDE
  inTx: 2, // client → server, sent back out of the device it came in on (XDP_TX)
  outToOutside: 3, // server → client, likewise
  outToInside: 4,
  outTx: 5,
  bytesIn: 6, // forwarded, client → server: from the outer IP header on
  bytesOut: 7,
  toSocket: 8, // handed to a shard
  noSocket: 9, // should have gone to a shard, but nobody has the socket: dropped
  passed: 10, // left to the host
  answered: 11, // ARP requests for a VIP that the program itself answered, because no process was there
  denied: 12, // dropped by the deny list
  spread: 13, // hits that went on to another CPU; they are counted as forwarded there
  spreadFailed: 14, // should have gone on to another CPU, forwarded here instead
  spreadMiss: 15, // came to another CPU and was no hit any more: dropped
  adjustFailed: 16, // no room for a VLAN tag: dropped
  redirectFailed: 17, // no device to send to: dropped
  toHost: 18, // client → server, left to the host rewritten, because it has the server's address
} as const;
export type XdpCounterName = keyof typeof XDP_COUNTER;
export const XDP_COUNTER_COUNT = 19;

const VALUE_LENGTH = 8;

/** Every counter, summed over the CPUs, by index. `map`: descriptor of td_counters. Errors: those of bpf(2). */
export function readXdpCounters(bpf: NativeBpf, map: number): number[] {
  const cpus = bpf.possibleCpus();
  const totals: number[] = [];
  for (let index = 0; index < XDP_COUNTER_COUNT; index++) {
    const value = bpf.lookUp(map, new Uint8Array(Uint32Array.of(index).buffer), VALUE_LENGTH * cpus);
    let sum = 0;
    if (value !== null) {
      const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
      for (let cpu = 0; cpu < cpus; cpu++) sum += Number(view.getBigUint64(cpu * VALUE_LENGTH, true));
    }
    totals.push(sum);
  }
  return totals;
}

export interface XdpTotals {
  /** Forwarded: In is client → server. */
  readonly packetsIn: number;
  readonly packetsOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Redirected, by port of egress: what the device's own count of sent packets must have grown by at least. */
  readonly redirected: readonly [number, number];
  /** Sent back out of the device they came in on. */
  readonly transmitted: number;
}

/** The sums of what `readXdpCounters` gave. */
export function xdpTotals(counters: readonly number[]): XdpTotals {
  const c = XDP_COUNTER;
  return {
    packetsIn: counters[c.inToOutside] + counters[c.inToInside] + counters[c.inTx] + counters[c.toHost],
    packetsOut: counters[c.outToOutside] + counters[c.outToInside] + counters[c.outTx],
    bytesIn: counters[c.bytesIn],
    bytesOut: counters[c.bytesOut],
    redirected: [counters[c.inToOutside] + counters[c.outToOutside], counters[c.inToInside] + counters[c.outToInside]],
    transmitted: counters[c.inTx] + counters[c.outTx],
  };
}
