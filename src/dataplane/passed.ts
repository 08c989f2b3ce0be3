/**
 * Requests that were passed on to servers whose answers do not pass here, and what their clients send to the VIP
 * nevertheless. Such a client's tunnels are kept at one server (`Following`), so that the server is known even where the
 * tunnel is not.
 */
import type { ServerTable } from '../designation/servers.js';
import { RECORD, RECORD_STATE } from '../flow/layout.js';
import { DROP } from './drop-reasons.js';
import type { PlanVip } from './plan.js';
import { LOOK_LIMIT, type TunnelStore } from './tunnel-store.js';

/** Tunnels of several servers could be meant: −2 − the reason for which the message is dropped. */
export const AMBIGUOUS = -2 - DROP['ambiguous-tunnel'];

/**
 * The tunnel that a client (4 words of `keys`, and its port) goes on with at this VIP under an id that no table knows: the
 * one that has waited longest, since answers come in the order of requests as a rule. −1: none waits. Servers that take
 * tunnels come before those that do not.
 */
export function passedTo(
  store: TunnelStore,
  vip: PlanVip,
  keys: Int32Array,
  row: number,
  servers: Pick<ServerTable, 'eligible'>,
): number {
  const port = keys[row + 4] >>> 16;
  const [a0, a1, a2, a3] = [keys[row], keys[row + 1], keys[row + 2], keys[row + 3]];
  let found = -1;
  let eligible = false;
  let several = false;
  let looks = LOOK_LIMIT;
  for (let record = store.clients.first(a0, a1, a2, a3); record >= 0 && looks > 0; looks--) {
    if (
      store.state(record) === RECORD_STATE.passed &&
      store.vipIndex(record) === vip.index &&
      store.word(record, RECORD.serverChannel) === 0 &&
      store.clientPort(record) === port &&
      store.isClient(record, a0, a1, a2, a3)
    ) {
      const takes = servers.eligible(store.serverIndex(record));
      if (found < 0 || (takes && !eligible)) {
        several = false;
        found = record;
        eligible = takes;
      } else if (takes === eligible) {
        several ||= store.serverIndex(record) !== store.serverIndex(found);
        found = record; // newest first, so this one is older
      }
    }
    record = store.clients.next(record);
  }
  return several ? AMBIGUOUS : found;
}
