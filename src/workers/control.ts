/** Words of a shard's control block: an Int32Array over a SharedArrayBuffer that the main thread makes and keeps. */
export const CONTROL = {
  stop: 0, // main: 1 = end by yourself
  mail: 1, // main: 1 = a message waits in the mailbox
  state: 2, // shard: SHARD_STATE
  heartbeat: 3, // shard: one more with every turn
  generation: 4, // main: one more with every start
  threadId: 5, // shard: kernel thread id
} as const;
export const CONTROL_WORDS = 16;

export const SHARD_STATE = { starting: 0, running: 1, stopping: 2, stopped: 3, failed: 4 } as const;
export const SHARD_STATE_NAMES = ['starting', 'running', 'stopping', 'stopped', 'failed'] as const;

export function newControl(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(CONTROL_WORDS * 4));
}
