/* Hands a frame to a shard, through the AF_XDP socket that the shard has on the queue where the frame came in. */
#ifndef TUNNEL_DESIGNATOR_BPF_PUNT_H
#define TUNNEL_DESIGNATOR_BPF_PUNT_H

#include "flow.h"

/* XDP_REDIRECT, or XDP_DROP when nobody has that socket: the process is down. */
INLINE int try_shard(const struct frame* f, td_u32 shard) {
  const td_u32 queues = SECOND(f, TD_XDP_QUEUES);
  const td_u32 queue = f->ctx->rx_queue_index;
  /* The index of a queue beyond the last would be another device's. */
  if (queue >= queues) return XDP_DROP;
  const td_u32 device = f->side == TD_PORT_INSIDE && (FIRST(f, TD_XDP_FLAGS) & TD_XDP_FLAG_SAME_DEVICE) == 0;
  const td_u32 index = (device * queues + queue) * SECOND(f, TD_XDP_SHARDS) + shard;
  return (int)bpf_redirect_map(&td_sockets, index, XDP_DROP);
}

INLINE int to_shard(const struct frame* f, td_u32 shard) {
  const int action = try_shard(f, shard);
  count(action == XDP_REDIRECT ? TD_COUNTER_TO_SOCKET : TD_COUNTER_NO_SOCKET, 1);
  return action;
}

/* The shard that may write for this client. */
INLINE td_u32 owner_of(const td_u32* client) {
  const td_u32 slot = td_owner_slot(client[0], client[1], client[2], client[3]);
  td_u32* owners = element(TD_OWNER_SLOTS_OFFSET / TD_ELEMENT_LENGTH + slot / TD_ELEMENT_LENGTH);
  return owners ? ((volatile td_u8*)owners)[slot % TD_ELEMENT_LENGTH] : 0;
}

/* Any shard, the same for all packets of a session: as native/fanout.cc spreads them. */
INLINE td_u32 any_of(const struct frame* f, const struct flow* k) {
  const td_u32 shards = SECOND(f, TD_XDP_SHARDS);
  return shards > 1 ? spread_hash(k) % shards : 0;
}

INLINE int pass(void) {
  count(TD_COUNTER_PASSED, 1);
  return XDP_PASS;
}

#endif
