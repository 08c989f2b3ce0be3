/**
 * The forwarding twin as a process: the data plane's loop in C++ over the table that a designator has left behind. Run in
 * the designator's place, after its death by SIGKILL, so that its filter still keeps the host away, as it does while the
 * product runs. Arguments: table file, outside, inside.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { newStatistics } from '#designator/dataplane/counters.js';
import { HEADER, PAGE_LENGTH, TableMemory, tableLayout } from '#designator/flow/layout.js';
import { native } from '#designator/io/native.js';
import { placesOf } from './places.js';
import { nativeCounters, nativeTable } from '#designator/workers/native-binding.js';

const RUN_MS = 100;

const [file, outside, inside] = process.argv.slice(2);
const addon = native();
const connections = connectionsOf(file);
const { length } = tableLayout(connections);
const memory = new TableMemory(addon.mapTable(addon.openTable(file, length).fd, length), connections);
const twin = new addon.ForwardingTwin({
  devices: [
    { name: outside, role: 'outside' },
    { name: inside, role: 'inside' },
  ],
  ports: [outside, inside].map((name, device) => ({ device, vlan: 0, mac: addon.interfaceInfo(name).mac })),
  fanout: { group: -1, shards: 1 },
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

function connectionsOf(path: string): number {
  const page = Buffer.alloc(PAGE_LENGTH);
  const fd = openSync(path, 'r');
  readSync(fd, page, 0, PAGE_LENGTH, 0);
  closeSync(fd);
  return page.readUInt32LE(HEADER.connections * 4);
}
