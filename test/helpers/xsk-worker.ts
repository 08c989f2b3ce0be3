/** Threads of the AF_XDP test: a shard that holds frames until it is ended, and a stranger that has a queue for a while. */
import { parentPort, workerData } from 'node:worker_threads';
import { HandMadeTable } from './packet-wire.js';
import { openSet, openShard } from './xsk-wire.js';

const { role, handle, until } = workerData as { role: 'shard' | 'stranger'; handle: number; until: SharedArrayBuffer };

if (role === 'stranger') {
  const set = openSet({}, ['d0']);
  parentPort?.postMessage('open');
  Atomics.wait(new Int32Array(until), 0, 0, 200); // somebody else wants the queue meanwhile
  set.close();
} else {
  const { port } = openShard(new HandMadeTable(), handle, 0);
  parentPort?.postMessage('open');
  let held = 0;
  while (held === 0) held = port.turn(0, 0, 100);
  parentPort?.postMessage(held);
  for (;;) Atomics.wait(new Int32Array(until), 0, 0, 1000); // ended from outside, with the batch in its hands
}
