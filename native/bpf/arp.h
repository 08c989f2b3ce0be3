/* ARP (RFC 826): who asks for a VIP is answered by shard 0, or by this program while no process is there. */
#ifndef TUNNEL_DESIGNATOR_BPF_ARP_H
#define TUNNEL_DESIGNATOR_BPF_ARP_H

#include "directory.h"
#include "punt.h"

#define ARP_REQUEST 1
#define ARP_REPLY 2

struct arp {
  td_u16 hardware, protocol, lengths, operation;
  td_u8 sender_mac[6], sender[4], target_mac[6], target[4];
};

/* True where the host has no device of its own on this side, so that answers to questions asked there go to a shard. */
INLINE int hears(const struct frame* f) {
  const td_u32 flag = f->side == TD_PORT_OUTSIDE ? TD_XDP_FLAG_HEAR_OUTSIDE : TD_XDP_FLAG_HEAR_INSIDE;
  return (FIRST(f, TD_XDP_FLAGS) & flag) != 0;
}

INLINE td_u32 ipv4_of(const td_u8* p) { return (td_u32)p[0] << 24 | (td_u32)p[1] << 16 | (td_u32)p[2] << 8 | p[3]; }

/* Turns the request into its answer, in place, as src/dataplane/responder.ts would write it, and sends it back. */
INLINE int answer_arp(const struct frame* f, const struct arp* request) {
  void* data = (void*)(long)f->ctx->data;
  if (data + ETHERNET_LENGTH > (void*)(long)f->ctx->data_end) return XDP_DROP;
  const td_u32 high = SECOND(f, f->side == TD_PORT_OUTSIDE ? TD_XDP_OUTSIDE_MAC_HIGH : TD_XDP_INSIDE_MAC_HIGH);
  const td_u32 low = SECOND(f, f->side == TD_PORT_OUTSIDE ? TD_XDP_OUTSIDE_MAC_LOW : TD_XDP_INSIDE_MAC_LOW);
  const td_u8 mac[6] = {high >> 24, high >> 16, high >> 8, high, low >> 24, low >> 16};
  struct arp reply = *request;
  reply.operation = SWAP16(ARP_REPLY);
  for (td_u32 i = 0; i < 6; i++) {
    reply.sender_mac[i] = mac[i];
    reply.target_mac[i] = request->sender_mac[i];
    ((td_u8*)data)[i] = request->sender_mac[i];
    ((td_u8*)data)[6 + i] = mac[i];
  }
  for (td_u32 i = 0; i < 4; i++) {
    reply.sender[i] = request->target[i];
    reply.target[i] = request->sender[i];
  }
  if (bpf_xdp_store_bytes(f->ctx, f->l3, &reply, sizeof reply) != 0) return XDP_DROP;
  count(TD_COUNTER_ANSWERED, 1);
  if ((FIRST(f, TD_XDP_FLAGS) & TD_XDP_FLAG_REDIRECT_BACK) == 0) return XDP_TX;
  return (int)bpf_redirect_map(&td_devices, f->side, XDP_DROP);
}

INLINE int judge_arp(const struct frame* f) {
  struct arp a;
  if (bpf_xdp_load_bytes(f->ctx, f->l3, &a, sizeof a) != 0) return pass();
  if (a.hardware != SWAP16(1) || a.protocol != SWAP16(TYPE_IPV4) || a.lengths != SWAP16(0x0604)) return pass();
  const int answer = a.operation == SWAP16(ARP_REPLY);
  if (answer) {
    if (!hears(f)) return pass();
  } else {
    /* Who has the VIP is asked outside; inside, servers reach it through their route. A local address is asked for on
     * either side. Who claims one announces it. */
    if (a.operation != SWAP16(ARP_REQUEST) || (a.sender_mac[0] & 1) != 0) return pass();
    if ((FIRST(f, TD_XDP_FLAGS) & TD_XDP_FLAG_ANSWERED_BY_GROUP) != 0) return pass();
    const td_u32 roles =
        f->side == TD_PORT_OUTSIDE ? TD_ADDRESS_ROLE_VIP | TD_ADDRESS_ROLE_LOCAL : TD_ADDRESS_ROLE_LOCAL;
    if (!is_any(f, 0, 0, MAPPED, ipv4_of(a.target), roles)) return pass();
    if (is_any(f, 0, 0, MAPPED, ipv4_of(a.sender), TD_ADDRESS_ROLE_VIP | TD_ADDRESS_ROLE_LOCAL)) return pass();
  }
  const int action = try_shard(f, 0);
  if (action != XDP_REDIRECT && !answer) return answer_arp(f, &a);
  count(action == XDP_REDIRECT ? TD_COUNTER_TO_SOCKET : TD_COUNTER_NO_SOCKET, 1);
  return action;
}

#endif
