/* The long way: what is it, and whose? The same questions in the same order as src/dataplane/classify.ts, but the only
 * answers are "a shard's" and "the host's". */
#ifndef TUNNEL_DESIGNATOR_BPF_JUDGE_H
#define TUNNEL_DESIGNATOR_BPF_JUDGE_H

#include "arp.h"
#include "deny.h"
#include "directory.h"
#include "message.h"
#include "punt.h"

#define PROTOCOL_ICMP 1
#define PROTOCOL_UDP 17
#define PROTOCOL_FRAGMENT 44
#define PROTOCOL_ICMPV6 58
#define ND_FIRST 133 /* Router Solicitation … Redirect, RFC 4861 §4 */
#define ND_LAST 137
#define ND_SOLICITATION 135
#define ND_ADVERTISEMENT 136
#define EXTENSION_LIMIT 8

#define ROLE_NONE 0
#define ROLE_CLIENT 1 /* the packet comes from a client: its destination is a VIP */
#define ROLE_SERVER 2

struct packet {
  td_u32 source[4], destination[4];
  td_u32 role, address; /* whose, and that address's index */
  td_u32 protocol;
  td_u32 l4, end;
  struct flow flow; /* key words 0 … 3 hold the client's address */
};

INLINE td_u32 word_of(const td_u8* p) { return ipv4_of(p); }

INLINE void find_role(const struct frame* f, struct packet* p) {
  const td_u32* d = p->destination;
  const td_u32* s = p->source;
  int address = who_is(f, d[0], d[1], d[2], d[3], TD_ADDRESS_ROLE_VIP);
  p->role = ROLE_CLIENT;
  if (address < 0) {
    address = who_is(f, s[0], s[1], s[2], s[3], TD_ADDRESS_ROLE_SERVER);
    p->role = address < 0 ? ROLE_NONE : ROLE_SERVER;
  }
  p->address = (td_u32)address & 0xffff;
  for (td_u32 i = 0; i < 4; i++) p->flow.key[i] = p->role == ROLE_SERVER ? d[i] : s[i];
  p->flow.from_client = p->role == ROLE_CLIENT;
}

INLINE int denies(const struct frame* f, const struct packet* p) {
  const td_u32* s = p->source;
  return is_denied(f, s[0], s[1], s[2], s[3], p->role == ROLE_SERVER);
}

/* What cannot be right: a client's is a shard's to count, anybody else's the host's to judge. */
INLINE int broken(const struct frame* f, const struct packet* p) {
  return p->role == ROLE_CLIENT ? to_owner(f, p->flow.key) : pass();
}

INLINE int judge_fragment(const struct frame* f, const struct packet* p, int is_first) {
  if (p->role == ROLE_CLIENT) return to_owner(f, p->flow.key);
  td_u8 port[2];
  if (is_first && p->protocol == PROTOCOL_UDP && p->end - p->l4 >= 4 &&
      bpf_xdp_load_bytes(f->ctx, p->l4, port, 2) == 0 && is_place(p->address, half(port, 0), TD_ADDRESS_ROLE_SERVER)) {
    return to_owner(f, p->flow.key);
  }
  return pass();
}

INLINE int judge_udp(const struct frame* f, struct packet* p, const int wide) {
  td_u8 udp[8];
  if (p->end - p->l4 < sizeof udp || bpf_xdp_load_bytes(f->ctx, p->l4, udp, sizeof udp) != 0) {
    return to_owner(f, p->flow.key);
  }
  const td_u32 source = half(udp, 0);
  const td_u32 destination = half(udp, 2);
  const td_u32 length = half(udp, 4);
  const int client = p->role == ROLE_CLIENT;
  const int known = client ? is_place(p->address, destination, TD_ADDRESS_ROLE_VIP)
                           : is_place(p->address, source, TD_ADDRESS_ROLE_SERVER);
  if (length < sizeof udp || length > p->end - p->l4) return known ? to_owner(f, p->flow.key) : pass();
  struct message m;
  read_message(f, p->l4 + sizeof udp, length - sizeof udp, &m);
  struct flow* k = &p->flow;
  k->ids = m.ids;
  if (known) return m.kind == MESSAGE_DATA ? to_any(f, k) : to_owner(f, k->key);
  if (m.kind == MESSAGE_OTHER) return pass();
  /* A request that a client sends to another port is counted by its shard. One that a server sends elsewhere is the
   * server's own affair. */
  const td_u32 tunnel = m.ids >> 16;
  if (m.kind == MESSAGE_CONTROL && client) return to_owner(f, k->key);
  if (tunnel == 0) return pass();
  lay_key(k, p->address, client ? source : destination, destination, tunnel);
  struct orders o = {};
  if (find_flow(f, k, wide, &o) == FOUND_NOT) return pass();
  return m.kind == MESSAGE_DATA ? to_any(f, k) : to_owner(f, k->key);
}

INLINE int judge_ipv4(const struct frame* f, td_u32 frame_end) {
  td_u8 h[20];
  struct packet p = {};
  /* A shard counts it as truncated; whose it is nobody can say. */
  if (bpf_xdp_load_bytes(f->ctx, f->l3, h, sizeof h) != 0) return to_shard(f, 0);
  p.source[2] = p.destination[2] = MAPPED;
  p.source[3] = word_of(h + 12);
  p.destination[3] = word_of(h + 16);
  p.protocol = h[9];
  find_role(f, &p);
  if (denies(f, &p)) return XDP_DROP;
  const td_u32 header = (h[0] & 0x0fU) << 2;
  const td_u32 total = half(h, 2);
  if (header < 20 || total < header || f->l3 + total > frame_end || h[0] >> 4 != 4) return broken(f, &p);
  if (p.role == ROLE_NONE) return pass();
  if (p.protocol == PROTOCOL_ICMP) return broken(f, &p);
  p.l4 = f->l3 + header;
  p.end = f->l3 + total;
  const td_u32 fragment = half(h, 6) & 0x3fff;
  if (fragment != 0) return judge_fragment(f, &p, (fragment & 0x1fff) == 0);
  return p.protocol == PROTOCOL_UDP ? judge_udp(f, &p, 0) : pass();
}

/* Neighbour Discovery: questions for a VIP, and answers where the host cannot hear them. */
INLINE int judge_icmpv6(const struct frame* f, const struct packet* p, td_u32 type) {
  if (type == ND_ADVERTISEMENT && hears(f)) return to_shard(f, 0);
  if (p->role == ROLE_SERVER) return pass();
  if (p->role == ROLE_CLIENT) return to_owner(f, p->flow.key);
  td_u8 target[16];
  if (type != ND_SOLICITATION || p->end - p->l4 < 24) return pass();
  if (bpf_xdp_load_bytes(f->ctx, p->l4 + 8, target, sizeof target) != 0) return pass();
  const td_u32 a0 = word_of(target);
  const td_u32 a1 = word_of(target + 4);
  const td_u32 a2 = word_of(target + 8);
  /* An IPv4-mapped address inside IPv6 is nobody's: it must not be taken for the IPv4 VIP. */
  if ((a0 | a1) == 0 && a2 == MAPPED) return pass();
  return who_is(f, a0, a1, a2, word_of(target + 12), TD_ADDRESS_ROLE_VIP) < 0 ? pass() : to_shard(f, 0);
}

INLINE int judge_ipv6(const struct frame* f, td_u32 frame_end) {
  td_u8 h[40];
  struct packet p = {};
  if (bpf_xdp_load_bytes(f->ctx, f->l3, h, sizeof h) != 0) return to_shard(f, 0);
  for (td_u32 i = 0; i < 4; i++) {
    p.source[i] = word_of(h + 8 + 4 * i);
    p.destination[i] = word_of(h + 24 + 4 * i);
  }
  find_role(f, &p);
  p.end = f->l3 + 40 + half(h, 4);
  p.l4 = f->l3 + 40;
  p.protocol = h[6];
  int valid = p.end <= frame_end && h[0] >> 4 == 6;
  /* Hop-by-hop 0, routing 43 and destination options 60 are stepped over (RFC 8200 §4). */
#pragma clang loop unroll(disable)
  for (td_u32 n = 0; n <= EXTENSION_LIMIT; n++) {
    if (!valid || (p.protocol != 0 && p.protocol != 43 && p.protocol != 60)) break;
    td_u8 extension[2];
    if (n == EXTENSION_LIMIT || p.end - p.l4 < 8 || bpf_xdp_load_bytes(f->ctx, p.l4, extension, 2) != 0) {
      valid = 0;
      break;
    }
    p.protocol = extension[0];
    p.l4 += (extension[1] + 1U) << 3;
    if (p.l4 > p.end) valid = 0;
  }
  td_u8 type = 0;
  const int icmp = valid && p.protocol == PROTOCOL_ICMPV6;
  if (icmp && p.l4 < p.end) bpf_xdp_load_bytes(f->ctx, p.l4, &type, 1);
  const int discovery = icmp && type >= ND_FIRST && type <= ND_LAST;
  if (!discovery && denies(f, &p)) return XDP_DROP;
  if (!valid) return broken(f, &p);
  if (icmp) return judge_icmpv6(f, &p, type);
  if (p.role == ROLE_NONE) return pass();
  if (p.protocol == PROTOCOL_FRAGMENT) {
    td_u8 fragment[4];
    if (p.end - p.l4 < 8 || bpf_xdp_load_bytes(f->ctx, p.l4, fragment, sizeof fragment) != 0) {
      return to_owner(f, p.flow.key);
    }
    p.protocol = fragment[0];
    p.l4 += 8;
    return judge_fragment(f, &p, (half(fragment, 2) & 0xfff8) == 0);
  }
  return p.protocol == PROTOCOL_UDP ? judge_udp(f, &p, 1) : pass();
}

INLINE int judge(const struct frame* f) {
  const td_u32 frame_end = f->ctx->data_end - f->ctx->data;
  if (f->type == TYPE_IPV4) return judge_ipv4(f, frame_end);
  if (f->type == TYPE_IPV6) return judge_ipv6(f, frame_end);
  if (f->type == TYPE_ARP) return judge_arp(f);
  return pass();
}

#endif
