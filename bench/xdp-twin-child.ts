/**
 * The forwarding twin on AF_XDP as a process: the data plane's loop in C++ behind the XDP program that a designator has left
 * on the interfaces. Run in the designator's place, after its death by SIGKILL. Arguments: number of the program, outside,
 * inside.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { newStatistics } from '#designator/dataplane/counters.js';
import { native } from '#designator/io/native.js';
import { openXskSet } from '#designator/io/xdp.js';
import { nativeCounters, nativeTable } from '#designator/workers/native-binding.js';
import { placesOf } from './places.js';
import { openKernelTable, openMap } from './table-probe.js';

const RUN_MS = 100;
/** As the product has it. */
const FRAMES_PER_QUEUE = 4096;
const CHUNK_LENGTH = 2048;

const [program, outside, inside] = process.argv.slice(2);
const addon = native();
const { memory } = openKernelTable(Number(program));
const devices = [outside, inside];
const set = openXskSet({
  devices: devices.map((name) => ({ name, queues: 1 })),
  shards: 1,
  chunkLength: CHUNK_LENGTH,
  framesPerQueue: FRAMES_PER_QUEUE,
  copy: 'auto',
});
const sockets = openMap(Number(program), 'td_sockets');
const word = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);
for (const { index, fd } of set.sockets) addon.bpf.update(sockets, word(index), word(fd));
const twin = new addon.ForwardingTwin({
  handle: set.handle,
  shard: 0,
  ports: devices.map((name, device) => ({ device, vlan: 0, mac: addon.interfaceInfo(name).mac })),
  table: nativeTable(memory),
  counters: nativeCounters(newStatistics()),
  clock: new Float64Array(2),
  buffer: memory.buffer,
  layout: memory.layout,
  ...placesOf(memory),
});
process.stdout.write('ready\n');
for (;;) {
  twin.run(RUN_MS);
  await turn(); // signals are heard here
}
