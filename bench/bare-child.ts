/**
 * The bare XDP forwarder as a process in the contestant's namespace (native/bpf/bench/bare.bpf.c): loads the program, fills
 * its map with both directions of every flow, and stays. Arguments: flows, outside, inside, and the MACs of the client's
 * and of the server's end in hexadecimal.
 */
import { readFileSync } from 'node:fs';
import { native } from '#designator/io/native.js';
import { benchObject } from './bpf-object.js';
import { flowOf, L2TP_PORT, SERVER, VIP } from './frames.js';
import { BPF, createWires, setWire } from './kernel-array.js';

const KEY_LENGTH = 12;
const ENTRY_LENGTH = 40;
const OUTSIDE = 0;
const INSIDE = 1;

const [flows, outside, inside, clientMac, serverMac] = process.argv.slice(2);
const { bpf, interfaceInfo } = native();
const [outer, inner] = [outside, inside].map((name) => interfaceInfo(name));
const maps = {
  bench_flows: bpf.createMap({
    type: BPF.hash,
    keyLength: KEY_LENGTH,
    valueLength: ENTRY_LENGTH,
    entries: Number(flows) * 2,
    flags: 0, // preallocated
    name: 'bench_flows',
  }),
  bench_devices: createWires(),
};
setWire(maps.bench_devices, OUTSIDE, outer.index);
setWire(maps.bench_devices, INSIDE, inner.index);

const key = new DataView(new ArrayBuffer(KEY_LENGTH));
const entry = new DataView(new ArrayBuffer(ENTRY_LENGTH));
const [keyBytes, entryBytes] = [new Uint8Array(key.buffer), new Uint8Array(entry.buffer)];
for (let i = 0; i < Number(flows); i++) {
  const flow = flowOf(i);
  put(flow.client, flow.port, flow.serverId, OUTSIDE, SERVER);
  put(flow.client, flow.port, flow.clientId, INSIDE, VIP);
}
for (const [section, index] of [
  ['xdp/outside', outer.index],
  ['xdp/inside', inner.index],
] as const) {
  const program = bpf.load({
    object: readFileSync(benchObject('bare')),
    section,
    name: 'td_bare',
    expectedAttachType: 0,
    maps,
  });
  bpf.link(program, index, BPF.nativeMode);
}
process.stdout.write('ready\n');
setInterval(() => {}, 1 << 30); // the links last as long as the process

/** As `struct key` and `struct entry` have it: what is a header's stands in network order. */
function put(client: number, port: number, tunnel: number, side: number, address: number): void {
  key.setUint32(0, client);
  // The program reads both ports as one little-endian word: the other one's first.
  key.setUint16(4, L2TP_PORT);
  key.setUint16(6, port);
  key.setUint16(8, tunnel);
  key.setUint16(10, side, true);
  entry.setUint32(0, address);
  entry.setUint16(4, L2TP_PORT);
  entry.setUint16(6, side === OUTSIDE ? INSIDE : OUTSIDE, true);
  entryBytes.set(Buffer.from(side === OUTSIDE ? serverMac : clientMac, 'hex'), 8);
  entryBytes.set(side === OUTSIDE ? inner.mac : outer.mac, 14);
  bpf.update(maps.bench_flows, keyBytes, entryBytes);
}
