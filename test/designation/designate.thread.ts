import { parentPort, workerData } from 'node:worker_threads';
import { Designator } from '../../src/designation/designate.js';
import { ServerTable } from '../../src/designation/servers.js';
import { TableMemory } from '../../src/flow/layout.js';
import { SpinLock } from '../../src/flow/spin-lock.js';

/** Designates `rounds` times and notes each server in the order in which the lock was had. */
const { buffer, connections, shard, plan, rounds, log } = workerData;
const memory = new TableMemory(buffer, connections);
const lock = new SpinLock(memory);
const designator = new Designator(memory, new ServerTable(memory), lock, shard);
designator.setPlan(plan);
const sequence = new Int32Array(log); // [0] how many, then servers
for (let i = 0; i < rounds; i++) {
  lock.acquire(shard);
  sequence[++sequence[0]] = designator.designateLocked(plan.vips[0].index, 0, 0, 0xffff, 1, 1);
  lock.release(shard);
}
parentPort?.postMessage('done');
