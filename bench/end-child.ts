/**
 * A far end of the benchmark, in the namespace that it is started in: sends prepared frames on command, and counts and
 * drops what arrives. One JSON command a line on standard input, one JSON answer a line on standard output.
 * Arguments: device, and `xdp` (counts by an XDP program) or `host` (the caller reads the device's counters).
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { type Flood, native } from '#designator/io/native.js';
import type { EndAnswer, EndOrder, LoadOrder } from './end-protocol.js';
import { setWire } from './kernel-array.js';
import { LiveSource } from './live-source.js';
import { Sink } from './sink.js';

const [device, counting] = process.argv.slice(2);
let flood: Flood | null = null;
let live: LiveSource | null = null;
let isLive = false;
const sink = counting === 'xdp' ? new Sink(device) : null;

function load({ file, headLength, count, live: wanted, both = false }: LoadOrder): EndAnswer {
  const bytes = readFileSync(file);
  const heads = bytes.subarray(0, headLength * count);
  const tail = bytes.subarray(heads.length);
  flood?.close();
  flood = null;
  isLive = wanted;
  if (wanted) {
    live ??= new LiveSource(device);
    live.load(heads, tail, both);
  } else {
    flood = new (native().Flood)({ device, frames: heads, frameLength: headLength, count, tail });
  }
  return {};
}

function obey(order: EndOrder): EndAnswer {
  if ('load' in order) return load(order.load);
  if ('count' in order) return { packets: sink?.packets ?? 0 };
  if ('latency' in order) {
    if (sink === null) return { error: 'latency needs the sink in XDP' };
    if (order.latency === 'end') return { histogram: sink.endLatency() };
    sink.startLatency();
    return {};
  }
  if ('silence' in order) {
    if (sink === null) return { error: 'silence needs the sink in XDP' };
    if (order.silence === 'end') return { silence: sink.endSilence() };
    sink.startSilence();
    return {};
  }
  if ('wires' in order) {
    live ??= new LiveSource(device);
    return { map: live.wiresId };
  }
  if ('join' in order) {
    const wires = native().bpf.openMapById(order.join);
    setWire(wires, 1, native().interfaceInfo(device).index);
    native().closeFd(wires);
    return {};
  }
  const { seconds, rate, limit, stamped } = order.send;
  if (isLive && live !== null) return live.send(order.send);
  if (flood === null) return { error: 'no frames are loaded' };
  if (stamped === true) return { error: 'only live frames carry their time' };
  return flood.run({ seconds, ratePps: rate ?? 0, limit: limit ?? 0 });
}

process.stdout.write('{}\n'); // ready
for await (const line of createInterface({ input: process.stdin })) {
  let answer: EndAnswer;
  try {
    answer = obey(JSON.parse(line) as EndOrder);
  } catch (error) {
    answer = { error: (error as Error).message };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
