import { describe, expect, it } from 'vitest';
import { multipliersOf } from '../../src/flow/hash.js';
import { HEADER, XDP, XDP_FLAG, XDP_OFFSET } from '../../src/flow/layout.js';
import { setXdpFlags, writeXdpWords, type XdpSides } from '../../src/flow/xdp-words.js';
import { newMemory } from './memory.js';

const SIDES: XdpSides = {
  outsideInterface: 4,
  insideInterface: 9,
  outsideVlan: 100,
  insideVlan: 4094,
  outsideMac: Uint8Array.of(0x82, 1, 2, 3, 4, 5),
  insideMac: Uint8Array.of(2, 0xff, 0xfe, 0xfd, 0xfc, 0xfb),
  shards: 3,
  queues: 2,
  spread: 1,
  flags: XDP_FLAG.offload | XDP_FLAG.hearInside,
};

describe('the control words', () => {
  it('say where everything lies, in elements of 64 bytes', () => {
    const memory = newMemory(1000);
    writeXdpWords(memory, SIDES);
    const { xdp, layout } = memory;
    expect(xdp.byteOffset).toBe(layout.header + XDP_OFFSET);
    const offsets = [XDP.fingerprints, XDP.entries, XDP.records, XDP.addresses, XDP.nextHops].map((w) => xdp[w] * 64);
    expect(offsets).toEqual([layout.fingerprints, layout.entries, layout.records, layout.addresses, layout.nextHops]);
    expect(xdp[XDP.bucketCount]).toBe(memory.header[HEADER.bucketCount]);
    expect(xdp.slice(XDP.multipliers, XDP.multipliers + 7)).toEqual(multipliersOf(memory.header[HEADER.hashSeed]));
  });

  it('say who the program is', () => {
    const memory = newMemory(8);
    writeXdpWords(memory, SIDES);
    const { xdp } = memory;
    expect([xdp[XDP.outsideInterface], xdp[XDP.insideInterface]]).toEqual([4, 9]);
    expect(xdp[XDP.vlans]).toBe((100 << 16) | 4094);
    expect([xdp[XDP.outsideMacHigh] >>> 0, xdp[XDP.outsideMacLow] >>> 0]).toEqual([0x82010203, 0x04050000]);
    expect([xdp[XDP.insideMacHigh] >>> 0, xdp[XDP.insideMacLow] >>> 0]).toEqual([0x02fffefd, 0xfcfb0000]);
    expect([xdp[XDP.shards], xdp[XDP.queues], xdp[XDP.spread]]).toEqual([3, 2, 1]);
    expect(xdp[XDP.flags]).toBe(XDP_FLAG.offload | XDP_FLAG.hearInside);
    expect(xdp[XDP.generation]).toBe(1);
    writeXdpWords(memory, SIDES);
    expect(xdp[XDP.generation]).toBe(2);
  });

  it('flags change one by one, and the directory is not theirs', () => {
    const memory = newMemory(8);
    memory.xdp[XDP.directory] = 77;
    writeXdpWords(memory, SIDES);
    setXdpFlags(memory, XDP_FLAG.offload, false);
    expect(memory.xdp[XDP.flags]).toBe(XDP_FLAG.hearInside);
    setXdpFlags(memory, XDP_FLAG.denyList | XDP_FLAG.offload, true);
    expect(memory.xdp[XDP.flags]).toBe(XDP_FLAG.hearInside | XDP_FLAG.denyList | XDP_FLAG.offload);
    expect(memory.xdp[XDP.directory]).toBe(77);
  });
});
