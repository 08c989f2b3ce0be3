/* The long way: what is it, and whose? The same questions as src/dataplane/classify.ts asks, but the only answers are
 * "a shard's" and "the host's". It knows packets by offsets and copies, so that any length is right and no bound is
 * known. */
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

/* What becomes of a packet. */
#define TO_HOST 0
#define TO_OWNER 1  /* the shard that owns the client's address */
#define TO_ANY 2    /* the shard that its session is spread to */
#define TO_FIRST 3  /* shard 0: nobody's in particular */
#define TO_NOBODY 4 /* denied */

#define WHOLE 0
#define FRAGMENT_FIRST 1
#define FRAGMENT_LATER 2
#define FRAGMENT_CUT 3 /* ends inside its own header: a shard's to count, whoever sent it */

struct packet {
  td_u32 source[4], destination[4];
  td_u32 valid; /* the IP header and all lengths in it can be */
  td_u32 protocol, fragment;
  td_u32 nd; /* type of a Neighbour Discovery message, else 0 */
  td_u32 l4, end;
  struct ends ends;
};

INLINE void read_ipv4(const struct frame* f, const td_u8* h, td_u32 frame_end, struct packet* p) {
  const td_u32 header = (h[0] & 0x0fU) << 2;
  const td_u32 total = half(h, 2);
  const td_u32 fragment = half(h, 6) & 0x3fff;
  p->source[2] = p->destination[2] = MAPPED;
  p->source[3] = ipv4_of(h + 12);
  p->destination[3] = ipv4_of(h + 16);
  p->valid = header >= 20 && total >= header && f->l3 + total <= frame_end && h[0] >> 4 == 4;
  p->protocol = h[9];
  p->fragment = fragment == 0 ? WHOLE : (fragment & 0x1fff) == 0 ? FRAGMENT_FIRST : FRAGMENT_LATER;
  p->l4 = f->l3 + header;
  p->end = f->l3 + total;
}

INLINE void read_ipv6(const struct frame* f, const td_u8* h, td_u32 frame_end, struct packet* p) {
  for (td_u32 i = 0; i < 4; i++) {
    p->source[i] = ipv4_of(h + 8 + 4 * i);
    p->destination[i] = ipv4_of(h + 24 + 4 * i);
  }
  td_u32 end = f->l3 + 40 + half(h, 4);
  td_u32 l4 = f->l3 + 40;
  td_u32 protocol = h[6];
  td_u32 valid = end <= frame_end && h[0] >> 4 == 6;
  /* Hop-by-hop 0, routing 43 and destination options 60 are stepped over (RFC 8200 §4). */
#pragma clang loop unroll(disable)
  for (td_u32 n = 0; n <= EXTENSION_LIMIT; n++) {
    if (!valid || (protocol != 0 && protocol != 43 && protocol != 60)) break;
    td_u8 extension[2];
    if (n == EXTENSION_LIMIT || end - l4 < 8 || bpf_xdp_load_bytes(f->ctx, l4, extension, 2) != 0) {
      valid = 0;
      break;
    }
    protocol = extension[0];
    l4 += (extension[1] + 1U) << 3;
    if (l4 > end) valid = 0;
  }
  if (valid && protocol == PROTOCOL_FRAGMENT) {
    td_u8 fragment[4];
    if (end - l4 < 8 || bpf_xdp_load_bytes(f->ctx, l4, fragment, sizeof fragment) != 0) {
      p->fragment = FRAGMENT_CUT;
      protocol = 0;
    } else {
      protocol = fragment[0];
      p->fragment = (half(fragment, 2) & 0xfff8) == 0 ? FRAGMENT_FIRST : FRAGMENT_LATER;
      l4 += 8;
    }
  } else if (valid && protocol == PROTOCOL_ICMPV6) {
    td_u8 type = 0;
    if (l4 < end && bpf_xdp_load_bytes(f->ctx, l4, &type, 1) == 0 && type >= ND_FIRST && type <= ND_LAST) p->nd = type;
  }
  OPAQUE(valid);
  OPAQUE(protocol);
  p->valid = valid;
  p->protocol = protocol;
  p->l4 = l4;
  p->end = end;
}

INLINE void find_role(const struct frame* f, struct packet* p, struct flow* k) {
  const td_u32* d = p->destination;
  const td_u32* s = p->source;
  find_ends(f, s[0], s[1], s[2], s[3], d[0], d[1], d[2], d[3], &p->ends);
  for (td_u32 i = 0; i < 4; i++) k->key[i] = p->ends.role == ROLE_SERVER ? d[i] : s[i];
  k->from_client = p->ends.role == ROLE_CLIENT;
}

/* Neighbour Discovery and the rest of ICMPv6: questions for a VIP, and answers where the host cannot hear them. */
INLINE int judge_icmpv6(const struct frame* f, const struct packet* p) {
  if (p->nd == ND_ADVERTISEMENT && hears(f)) return TO_FIRST;
  if (p->ends.role == ROLE_SERVER) return TO_HOST;
  if (p->ends.role == ROLE_CLIENT) return TO_OWNER;
  td_u8 target[16];
  if (p->nd != ND_SOLICITATION || p->end - p->l4 < 24) return TO_HOST;
  if ((FIRST(f, TD_XDP_FLAGS) & TD_XDP_FLAG_ANSWERED_BY_GROUP) != 0) return TO_HOST;
  if (bpf_xdp_load_bytes(f->ctx, p->l4 + 8, target, sizeof target) != 0) return TO_HOST;
  const td_u32 a0 = ipv4_of(target);
  const td_u32 a1 = ipv4_of(target + 4);
  const td_u32 a2 = ipv4_of(target + 8);
  /* An IPv4-mapped address inside IPv6 is nobody's: it must not be taken for the IPv4 VIP. */
  if ((a0 | a1) == 0 && a2 == MAPPED) return TO_HOST;
  return is_any(f, a0, a1, a2, ipv4_of(target + 12), TD_ADDRESS_ROLE_VIP | TD_ADDRESS_ROLE_LOCAL) ? TO_FIRST : TO_HOST;
}

/* Some client with this address's hash has tunnels: src/flow/client-index.ts. */
INLINE int has_tunnels(const struct frame* f, const td_u32* client) {
  const td_u32 list = td_client_list(client[0], client[1], client[2], client[3]);
  td_u32* words = element(SECOND(f, TD_XDP_CLIENTS) + list / (TD_ELEMENT_LENGTH / 4));
  return words && ONCE(words[list % (TD_ELEMENT_LENGTH / 4)]) != 0;
}

/* An ICMP error from inside is ours where it is about UDP that a client with tunnels sent to a server: the client must
 * not see the server's address. Any other is the host's. */
INLINE int judge_error(const struct frame* f, const struct packet* p, struct flow* k) {
  td_u8 h[8 + 40] = {};
  td_u32 s0 = 0, s1 = 0, s2 = MAPPED, s3, d0 = 0, d1 = 0, d2 = MAPPED, d3;
  if (f->type == TYPE_IPV4) {
    if (p->end - p->l4 < 8 + 20 || bpf_xdp_load_bytes(f->ctx, p->l4, h, 8 + 20) != 0) return TO_HOST;
    if ((h[0] != 3 && h[0] != 11 && h[0] != 12) || h[8] >> 4 != 4 || h[8 + 9] != PROTOCOL_UDP) return TO_HOST;
    s3 = ipv4_of(h + 8 + 12);
    d3 = ipv4_of(h + 8 + 16);
  } else {
    if (p->end - p->l4 < 8 + 40 || bpf_xdp_load_bytes(f->ctx, p->l4, h, 8 + 40) != 0) return TO_HOST;
    if (h[0] < 1 || h[0] > 4 || h[8] >> 4 != 6 || (h[8 + 6] != PROTOCOL_UDP && h[8 + 6] != PROTOCOL_FRAGMENT))
      return TO_HOST;
    s0 = ipv4_of(h + 16);
    s1 = ipv4_of(h + 20);
    s2 = ipv4_of(h + 24);
    s3 = ipv4_of(h + 28);
    d0 = ipv4_of(h + 32);
    d1 = ipv4_of(h + 36);
    d2 = ipv4_of(h + 40);
    d3 = ipv4_of(h + 44);
  }
  if (!is_any(f, d0, d1, d2, d3, TD_ADDRESS_ROLE_SERVER)) return TO_HOST;
  k->key[0] = s0;
  k->key[1] = s1;
  k->key[2] = s2;
  k->key[3] = s3;
  return has_tunnels(f, k->key) ? TO_OWNER : TO_HOST;
}

INLINE int judge_udp(const struct frame* f, const struct packet* p, struct flow* k) {
  td_u8 udp[8];
  if (p->end - p->l4 < sizeof udp || bpf_xdp_load_bytes(f->ctx, p->l4, udp, sizeof udp) != 0) return TO_OWNER;
  const td_u32 source = half(udp, 0);
  const td_u32 destination = half(udp, 2);
  const td_u32 length = half(udp, 4);
  const int client = p->ends.role == ROLE_CLIENT;
  const int known = is_place(p->ends.address, client ? destination : source,
                             client ? TD_ADDRESS_ROLE_VIP : TD_ADDRESS_ROLE_SERVER | TD_ADDRESS_ROLE_ENDPOINT);
  /* Of a first fragment the length is that of the whole datagram. */
  if (length < sizeof udp || (length > p->end - p->l4 && p->fragment == WHOLE)) return known ? TO_OWNER : TO_HOST;
  struct message m;
  read_message(f, p->l4 + sizeof udp, length - sizeof udp, &m);
  OPAQUE(m.kind);
  k->ids = m.ids;
  if (known) return m.kind == MESSAGE_DATA ? TO_ANY : TO_OWNER;
  if (m.kind == MESSAGE_OTHER) return TO_HOST;
  /* A request that a client sends to another port is counted by its shard. One that a server sends elsewhere is the
   * server's own affair. */
  const td_u32 tunnel = m.ids >> 16;
  if (m.kind == MESSAGE_CONTROL && client) return TO_OWNER;
  if (tunnel == 0) return TO_HOST;
  lay_key(k, p->ends.address, client ? source : destination, destination, tunnel);
  struct orders o = {};
  if (find_flow(f, k, 1, &o) == FOUND_NOT) return TO_HOST;
  return m.kind == MESSAGE_DATA ? TO_ANY : TO_OWNER;
}

/* To a VIP all fragments are ours. From a server the first shows whose they are; the others are ours where they go to a
 * client with tunnels, since they may well come before the first. */
INLINE int judge_fragment(const struct frame* f, const struct packet* p, struct flow* k) {
  if (p->ends.role == ROLE_CLIENT || p->fragment == FRAGMENT_CUT) return TO_OWNER;
  if (p->protocol != PROTOCOL_UDP) return TO_HOST;
  if (p->fragment == FRAGMENT_LATER) return has_tunnels(f, k->key) ? TO_OWNER : TO_HOST;
  if (p->end - p->l4 < 8) return TO_HOST;
  return judge_udp(f, p, k) == TO_HOST ? TO_HOST : TO_OWNER;
}

INLINE int whose_ip(const struct frame* f, struct flow* k, td_u32* to_local) {
  const td_u32 frame_end = f->ctx->data_end - f->ctx->data;
  td_u8 h[40];
  struct packet p = {};
  if (f->type == TYPE_IPV4) {
    /* A shard counts it as truncated; whose it is nobody can say. */
    if (bpf_xdp_load_bytes(f->ctx, f->l3, h, 20) != 0) return TO_FIRST;
    read_ipv4(f, h, frame_end, &p);
  } else {
    if (bpf_xdp_load_bytes(f->ctx, f->l3, h, 40) != 0) return TO_FIRST;
    read_ipv6(f, h, frame_end, &p);
  }
  OPAQUE(p.valid);
  OPAQUE(p.fragment);
  OPAQUE(p.nd);
  find_role(f, &p, k);
  *to_local = p.ends.to_local;
  const td_u32* s = p.source;
  if (p.nd == 0 && is_denied(f, s[0], s[1], s[2], s[3], p.ends.role == ROLE_SERVER)) return TO_NOBODY;
  /* What cannot be right: a client's is a shard's to count, anybody else's the host's to judge. */
  if (!p.valid) return p.ends.role == ROLE_CLIENT ? TO_OWNER : TO_HOST;
  if (p.fragment == WHOLE && p.protocol == (f->type == TYPE_IPV4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6)) {
    if (p.ends.role != ROLE_CLIENT && judge_error(f, &p, k) == TO_OWNER) return TO_OWNER;
    if (f->type == TYPE_IPV6) return judge_icmpv6(f, &p);
    return p.ends.role == ROLE_CLIENT ? TO_OWNER : TO_HOST;
  }
  if (p.ends.role == ROLE_NONE) return TO_HOST;
  if (f->type == TYPE_IPV4 && p.protocol == PROTOCOL_ICMP) return p.ends.role == ROLE_CLIENT ? TO_OWNER : TO_HOST;
  if (p.fragment != WHOLE) return judge_fragment(f, &p, k);
  return p.protocol == PROTOCOL_UDP ? judge_udp(f, &p, k) : TO_HOST;
}

INLINE int judge_ip(const struct frame* f) {
  struct flow k = {};
  td_u32 to_local = 0;
  int whose = whose_ip(f, &k, &to_local);
  /* Nothing of that address is the host's. What servers send to it goes to one shard, fragment by fragment. */
  if (whose == TO_HOST && to_local) whose = TO_OWNER;
  if (whose == TO_HOST) return pass();
  if (whose == TO_NOBODY) return XDP_DROP;
  return to_shard(f, whose == TO_OWNER ? owner_of(k.key) : whose == TO_ANY ? any_of(f, &k) : 0);
}

#endif
