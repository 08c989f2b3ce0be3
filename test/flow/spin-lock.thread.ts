import { parentPort, workerData } from 'node:worker_threads';
import { TableMemory } from '../../src/flow/layout.js';
import { SpinLock } from '../../src/flow/spin-lock.js';

const { buffer, connections, shard, rounds, cell } = workerData;
const memory = new TableMemory(buffer, connections);
const lock = new SpinLock(memory);
for (let i = 0; i < rounds; i++) {
  lock.acquire(shard);
  memory.records[cell] = memory.records[cell] + 1; // plain, so that only the lock can make it right
  lock.release(shard);
}
parentPort?.postMessage('done');
