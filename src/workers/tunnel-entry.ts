/** The thread of one worker of an LNS's or a LAC's data path: an endless piscina task around one native call. */
import { setImmediate as yieldToLoop } from 'node:timers/promises';
import type { MessagePort } from 'node:worker_threads';
import { native } from '../io/native.js';
import { CONTROL, SHARD_STATE } from './control.js';
import { IDLE_WAIT_MS, YIELD_EVERY_MS } from './shard-task.js';
import type { TunnelTask } from './tunnel-task.js';
import { makeUrgent } from './urgency.js';

/** Runs until the stop word is set; resolves with the worker's number. Rejects when a device has gone. */
export default async function runWorker(task: TunnelTask & { readonly mailbox: MessagePort }): Promise<number> {
  const addon = native();
  const { control, mailbox, memory } = task;
  Atomics.store(control, CONTROL.threadId, addon.threadId());
  makeUrgent(addon.threadId());
  const buffer = addon.mapTable(memory.fd, memory.length);
  const forwarder = new addon.TunnelForwarder({ ...task, buffer, layout: memory.layout });
  try {
    Atomics.store(control, CONTROL.state, SHARD_STATE.running);
    let yielded = addon.monotonicSeconds();
    while (Atomics.load(control, CONTROL.stop) === 0) {
      forwarder.turn(IDLE_WAIT_MS);
      Atomics.add(control, CONTROL.heartbeat, 1);
      const now = addon.monotonicSeconds();
      if (now - yielded > YIELD_EVERY_MS / 1000) {
        yielded = now;
        await yieldToLoop();
      }
    }
    Atomics.store(control, CONTROL.state, SHARD_STATE.stopping);
    return task.worker;
  } finally {
    forwarder.close();
    mailbox.close();
    Atomics.store(control, CONTROL.state, SHARD_STATE.stopped);
  }
}
