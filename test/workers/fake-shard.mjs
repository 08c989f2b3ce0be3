// A shard without packets: beats until it is stopped, and does what its mail says.
import { setTimeout as sleep } from 'node:timers/promises';
import { receiveMessageOnPort } from 'node:worker_threads';

const [STOP, STATE, HEARTBEAT] = [0, 2, 3];

export default async function shard({ shard: number, control, mailbox }) {
  Atomics.store(control, STATE, 1);
  mailbox.postMessage({ type: 'up', shard: number, description: 'fake', adopted: 0 });
  let beating = true;
  while (Atomics.load(control, STOP) === 0) {
    const mail = receiveMessageOnPort(mailbox)?.message;
    if (mail?.type === 'crash') throw new Error('asked to');
    if (mail?.type === 'release') beating = false; // stands for a thread that hangs
    if (beating) Atomics.add(control, HEARTBEAT, 1);
    await sleep(2);
  }
  mailbox.close();
  return number;
}
