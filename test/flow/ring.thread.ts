import { parentPort, workerData } from 'node:worker_threads';
import { FrameRing } from '../../src/flow/ring.js';

const { buffer, slots, frames } = workerData;
const ring = new FrameRing(buffer, 0, slots);
const source = new Uint8Array(4096);
for (let i = 0; i < frames; ) {
  const length = 4 + (i % 300);
  source.fill(i & 0xff, 10, 10 + length);
  new DataView(source.buffer).setUint32(10, i);
  if (ring.push(source, 10, length, i & 1, i & 3)) i++;
}
parentPort?.postMessage('done');
