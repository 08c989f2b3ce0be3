/**
 * The two elements of the header page that tell the XDP program where everything lies and who it is. Main thread only,
 * while the program is not attached or only with words that may change one by one.
 */
import { multipliersOf } from './hash.js';
import { ELEMENT_LENGTH, HEADER, type TableMemory, XDP } from './layout.js';

export interface XdpSides {
  readonly outsideInterface: number;
  readonly insideInterface: number;
  /** VLAN tags, 0 untagged. */
  readonly outsideVlan: number;
  readonly insideVlan: number;
  readonly outsideMac: Uint8Array;
  readonly insideMac: Uint8Array;
  readonly shards: number;
  readonly queues: number;
  /** CPUs that hits are spread over, 0 none. */
  readonly spread: number;
  /** XDP_FLAG bits. */
  readonly flags: number;
}

/** Everything but the directory, which `writeDirectory` enters. */
export function writeXdpWords(memory: TableMemory, sides: XdpSides): void {
  const { xdp, layout, header } = memory;
  const element = (offset: number): number => offset / ELEMENT_LENGTH;
  xdp[XDP.bucketCount] = layout.bucketCount;
  xdp[XDP.fingerprints] = element(layout.fingerprints);
  xdp[XDP.entries] = element(layout.entries);
  xdp[XDP.records] = element(layout.records);
  xdp[XDP.addresses] = element(layout.addresses);
  xdp[XDP.nextHops] = element(layout.nextHops);
  xdp[XDP.clients] = element(layout.clients);
  xdp.set(multipliersOf(header[HEADER.hashSeed]), XDP.multipliers);
  xdp[XDP.outsideInterface] = sides.outsideInterface;
  xdp[XDP.insideInterface] = sides.insideInterface;
  xdp[XDP.vlans] = (sides.outsideVlan << 16) | sides.insideVlan;
  writeMac(xdp, XDP.outsideMacHigh, sides.outsideMac);
  writeMac(xdp, XDP.insideMacHigh, sides.insideMac);
  xdp[XDP.shards] = sides.shards;
  xdp[XDP.queues] = sides.queues;
  xdp[XDP.spread] = sides.spread;
  Atomics.add(xdp, XDP.generation, 1);
  Atomics.store(xdp, XDP.flags, sides.flags);
}

/** Sets or clears XDP_FLAG bits; the program sees it with its next packet. */
export function setXdpFlags(memory: TableMemory, bits: number, on: boolean): void {
  if (on) Atomics.or(memory.xdp, XDP.flags, bits);
  else Atomics.and(memory.xdp, XDP.flags, ~bits);
}

function writeMac(words: Int32Array, at: number, mac: Uint8Array): void {
  words[at] = (mac[0] << 24) | (mac[1] << 16) | (mac[2] << 8) | mac[3];
  words[at + 1] = (mac[4] << 24) | (mac[5] << 16);
}
