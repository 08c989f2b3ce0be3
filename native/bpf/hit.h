/* The short way, for what nearly every packet is: L2TPv2 data of a known tunnel over UDP, without IP options, extension
 * headers or fragments. It forwards or leaves the packet to judge.h, which knows what everything else means. */
#ifndef TUNNEL_DESIGNATOR_BPF_HIT_H
#define TUNNEL_DESIGNATOR_BPF_HIT_H

#include "directory.h"
#include "forward.h"

/* Answers of `hit` besides the XDP actions: no hit; a hit that this program must not forward. */
#define NO_HIT (-1)
#define HIT_FOR_SHARD (-2)

/* T, reserved bits and version of the first two bytes of an L2TPv2 data message, in the high half of a word. */
#define DATA_MASK 0xb4ff0000
#define DATA_BITS 0x00020000
#define LENGTH_BIT 0x40000000
#define SEQUENCE_BIT 0x08000000
#define OFFSET_BIT 0x02000000
#define OTHER_BITS (LENGTH_BIT | SEQUENCE_BIT | OFFSET_BIT)

/* The ids of a data message that src/tunnels/l2tp/header.ts finds no fault in and that would look like one on any port,
 * or 0. `available`: bytes of the message, of which 8 at least lie inside the frame. */
INLINE td_u32 data_ids(td_u8* message, void* end, td_u32 available, td_u32* channel_offset) {
  const td_u32 head = SWAP32(*(td_u32*)message);
  const td_u32 rest = SWAP32(*(td_u32*)(message + 4));
  if ((head & DATA_MASK) != DATA_BITS) return 0;
  *channel_offset = 2;
  td_u32 ids = head << 16 | rest >> 16;
  if ((head & OTHER_BITS) != 0) {
    td_u32 header = 6;
    td_u32 length = available;
    if ((head & LENGTH_BIT) != 0) {
      *channel_offset = 4;
      ids = rest;
      header += 2;
      length = head & 0xffff;
    }
    if ((head & SEQUENCE_BIT) != 0) header += 4;
    if ((head & OFFSET_BIT) != 0) header += 2;
    if (length > available || length < header) return 0;
    if ((head & OFFSET_BIT) != 0) {
      td_u8* size = message + (header - 2);
      if (size + 2 > (td_u8*)end) return 0;
      if (header + SWAP16(*(td_u16*)size) > length) return 0;
    }
  }
  return (ids >> 16) != 0 && (ids & 0xffff) != 0 ? ids : 0;
}

/* `first`: the packet has just come in. Then a hit may go on to another CPU, and what must not be forwarded here goes
 * to a shard; on that other CPU neither is possible, nor XDP_TX. */
INLINE int hit(const struct frame* f, const int v6, const int first, struct flow* k) {
  struct xdp_md* ctx = f->ctx;
  void* data = (void*)(long)ctx->data;
  void* end = (void*)(long)ctx->data_end;
  const td_u32 header = v6 ? 40 : 20;
  void* ip = data + (f->l3 & L3_MASK);
  if (ip + header + 16 > end) return NO_HIT;
  td_u32 total;
  td_u8 ttl;
  if (v6) {
    if (*(td_u8*)ip >> 4 != 6 || *(td_u8*)(ip + 6) != 17) return NO_HIT;
    total = 40 + SWAP16(*(td_u16*)(ip + 4));
    ttl = *(td_u8*)(ip + 7);
  } else {
    const td_u32 lifetime = SWAP32(*(td_u32*)(ip + 8));
    if (*(td_u8*)ip != 0x45 || (*(td_u16*)(ip + 6) & SWAP16(0x3fff)) != 0 || (lifetime >> 16 & 0xff) != 17)
      return NO_HIT;
    total = SWAP16(*(td_u16*)(ip + 2));
    ttl = (td_u8)(lifetime >> 24);
  }
  const td_u32 udp_length = SWAP16(*(td_u16*)(ip + header + 4));
  if (udp_length < 14 || udp_length + header > total || total > end - ip) return NO_HIT;
  td_u32 channel_offset = 0;
  k->ids = data_ids(ip + header + 8, end, udp_length - 8, &channel_offset);
  if (k->ids == 0) return NO_HIT;
  OPAQUE(channel_offset);
  td_u32 s0 = 0, s1 = 0, s2 = MAPPED, d0 = 0, d1 = 0, d2 = MAPPED;
  if (v6) {
    s0 = SWAP32(*(td_u32*)(ip + 8));
    s1 = SWAP32(*(td_u32*)(ip + 12));
    s2 = SWAP32(*(td_u32*)(ip + 16));
    d0 = SWAP32(*(td_u32*)(ip + 24));
    d1 = SWAP32(*(td_u32*)(ip + 28));
    d2 = SWAP32(*(td_u32*)(ip + 32));
  }
  const td_u32 s3 = SWAP32(*(td_u32*)(ip + (v6 ? 20 : 12)));
  const td_u32 d3 = SWAP32(*(td_u32*)(ip + (v6 ? 36 : 16)));
  const td_u32 ports = SWAP32(*(td_u32*)(ip + header));
  struct ends e;
  find_ends(f, s0, s1, s2, s3, d0, d1, d2, d3, &e);
  if (e.role == ROLE_NONE) return NO_HIT;
  k->from_client = e.role == ROLE_CLIENT;
  OPAQUE(k->from_client);
  k->key[0] = k->from_client ? s0 : d0;
  k->key[1] = k->from_client ? s1 : d1;
  k->key[2] = k->from_client ? s2 : d2;
  k->key[3] = k->from_client ? s3 : d3;
  lay_key(k, e.address, k->from_client ? ports >> 16 : ports & 0xffff, ports & 0xffff, k->ids >> 16);
  struct orders o = {};
  const int found = find_flow(f, k, v6, &o);
  if (found == FOUND_NOT) return NO_HIT;
  struct passage p = {};
  if (found != FOUND || !prepare(f, k, &o, v6, ttl, &p)) return HIT_FOR_SHARD;
  if (first) {
    const td_u32 spread = SECOND(f, TD_XDP_SPREAD);
    if (spread != 0) {
      const int action = (int)bpf_redirect_map(&td_cpus, spread_hash(k) % spread, XDP_DROP);
      count(action == XDP_REDIRECT ? TD_COUNTER_SPREAD : TD_COUNTER_SPREAD_FAILED, 1);
      /* Where that CPU has no queue the packet goes on here. */
      if (action == XDP_REDIRECT) return action;
    }
  }
  rewrite(ip, v6, ip + header + 8 + (channel_offset & 7), &o, &p);
  if (!dress(f, &p)) {
    count(TD_COUNTER_ADJUST_FAILED, 1);
    return XDP_DROP;
  }
  account(f, &o, total);
  return leave(f, k, &p, first, total);
}

#endif
