/**
 * The thread of one shard: an endless piscina task. It never returns to its event loop between batches except every
 * YIELD_EVERY_MS; messages are taken from the mailbox synchronously when the control block says that there is one.
 */
import { setImmediate as yieldToLoop } from 'node:timers/promises';
import { receiveMessageOnPort } from 'node:worker_threads';
import { CAPTURE_SLOTS } from '../dataplane/capture-tap.js';
import { HandOver } from '../dataplane/hand-over.js';
import type { ShardMessage } from '../dataplane/plan.js';
import { Shard } from '../dataplane/shard.js';
import { TableMemory } from '../flow/layout.js';
import { EventRing } from '../flow/event-ring.js';
import { FrameRing } from '../flow/ring.js';
import { native, type PacketRingOptions } from '../io/native.js';
import { openPacketPort } from '../io/packet.js';
import type { PacketPort } from '../io/port.js';
import { openXdpPort } from '../io/xdp.js';
import { CONTROL, SHARD_STATE } from './control.js';
import { nativeCounters, nativeTable } from './native-binding.js';
import { IDLE_WAIT_MS, type ShardTask, type ShardTaskWithMailbox, YIELD_EVERY_MS } from './shard-task.js';
import { makeUrgent } from './urgency.js';

/** Runs until the stop word is set; resolves with the shard's number. Rejects when the device goes or code fails. */
export default async function runShard(task: ShardTaskWithMailbox): Promise<number> {
  const addon = native();
  const { control, mailbox, statistics } = task;
  if (task.cpu >= 0) addon.pinThread(task.cpu);
  Atomics.store(control, CONTROL.threadId, addon.threadId());
  makeUrgent(addon.threadId());
  const memory = new TableMemory(addon.mapTable(task.table.fd, task.table.length), task.table.connections);
  const clock = new Float64Array([addon.monotonicSeconds(), 0]);
  const port = openPort(task, {
    table: nativeTable(memory),
    counters: nativeCounters(statistics),
    ports: task.ports,
    clock,
    wakeFd: task.wakeFds[task.shard],
  });
  const handOver = new HandOver(task.shard, task.shards, task.handOver);
  const shard = new Shard({
    shard: task.shard,
    memory,
    port,
    statistics,
    handOver,
    captureRing: new FrameRing(task.capture, 0, CAPTURE_SLOTS),
    eventRing: new EventRing(task.events),
    macs: [task.ports[0].mac, (task.ports[1] ?? task.ports[0]).mac],
    oneArm: task.oneArm,
    mtus: task.mtus,
    filterNeeded: task.io.kind === 'packet',
    ...(task.share === undefined ? {} : { share: task.share }),
    policy: task.policy,
    offload: task.io.kind === 'xdp' && task.io.offload,
  });
  try {
    shard.message({ type: 'routes', routes: task.routes });
    shard.message({ type: 'plan', plan: task.plan });
    shard.message({ type: 'floating', ports: task.floating });
    shard.message({ type: 'capture', captures: task.captures });
    const adopted = shard.adopt();
    Atomics.store(control, CONTROL.state, SHARD_STATE.running);
    mailbox.postMessage({ type: 'up', shard: task.shard, description: port.description, adopted });
    let yielded = clock[0];
    while (Atomics.load(control, CONTROL.stop) === 0) {
      shard.turn(shard.busy ? 0 : IDLE_WAIT_MS);
      Atomics.add(control, CONTROL.heartbeat, 1);
      for (const other of handOver.takeTouched()) addon.signalEventFd(task.wakeFds[other]);
      if (Atomics.exchange(control, CONTROL.mail, 0) !== 0) {
        for (let mail = receiveMessageOnPort(mailbox); mail !== undefined; mail = receiveMessageOnPort(mailbox)) {
          shard.message(mail.message as ShardMessage);
        }
      }
      for (const notice of shard.takeNotices()) mailbox.postMessage(notice);
      if (port.clock[0] - yielded > YIELD_EVERY_MS / 1000) {
        yielded = port.clock[0];
        await yieldToLoop();
      }
    }
    Atomics.store(control, CONTROL.state, SHARD_STATE.stopping);
    shard.turn(0); // what was decided last goes out
    return task.shard;
  } finally {
    port.close();
    mailbox.close();
    Atomics.store(control, CONTROL.state, SHARD_STATE.stopped);
  }
}

function openPort({ io, shard, shards }: ShardTask, common: Omit<PacketRingOptions, 'devices' | 'fanout'>): PacketPort {
  if (io.kind === 'xdp') return openXdpPort({ ...common, handle: io.sockets, shard }, io.description);
  const fanout = { group: shards > 1 ? io.fanoutGroup : -1, shards };
  return openPacketPort({ ...common, devices: io.devices, fanout });
}
