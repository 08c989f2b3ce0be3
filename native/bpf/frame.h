/* A frame on its way: where it came in and where its headers begin. */
#ifndef TUNNEL_DESIGNATOR_BPF_FRAME_H
#define TUNNEL_DESIGNATOR_BPF_FRAME_H

#include "maps.h"

#define TYPE_IPV4 0x0800
#define TYPE_ARP 0x0806
#define TYPE_VLAN 0x8100U
#define TYPE_IPV6 0x86dd
#define ETHERNET_LENGTH 14
#define TAG_LENGTH 4
#define L3_MASK 31    /* an l3 is never more; the verifier has to be told */
#define MAPPED 0xffff /* third word of an IPv4-mapped address */

#define WORDS_FIRST (TD_XDP_OFFSET / TD_ELEMENT_LENGTH)
#define WORDS_SECOND (WORDS_FIRST + 1)
/* A word of the second element, by its index in the whole. */
#define SECOND(frame, word) ONCE((frame)->second[(word)-16])
#define FIRST(frame, word) ONCE((frame)->first[word])

struct frame {
  struct xdp_md* ctx;
  td_u32* first; /* the control words, two elements */
  td_u32* second;
  td_u32 side; /* TD_PORT_OUTSIDE or TD_PORT_INSIDE: where it arrived */
  td_u32 type; /* EtherType behind the tag */
  td_u32 l3;   /* byte offset of what follows */
};

/* A switch that does not know a station yet sends its frames everywhere, and an interface in promiscuous mode takes
 * them: those are not ours to forward a second time. */
INLINE int is_for(const void* data, td_u32 high, td_u32 low) {
  if ((*(td_u8*)data & 1) != 0) return 1;
  return *(td_u32*)data == SWAP32(high) && *(td_u16*)(data + 4) == SWAP16(low >> 16);
}

/* A virtual MAC of the gateway group whose words begin at `group`, which only who holds it takes. */
INLINE int is_held(const void* data, td_u32 group) {
  const td_u32* g = element(WORDS_FIRST + group / 16);
  if (!g || ONCE(g[TD_GROUP_MAC_HIGH]) == 0 || *(td_u32*)data != SWAP32(ONCE(g[TD_GROUP_MAC_HIGH]))) return 0;
  if (*(td_u8*)(data + 4) != ONCE(g[TD_GROUP_MAC_LOW])) return 0;
  const td_u32 number = *(td_u8*)(data + 5);
  return (ONCE(g[TD_GROUP_HELD + (number >> 5)]) >> (number & 31) & 1) != 0;
}

/* Reads Ethernet and, where there is one, the tag. 0 when the frame came in on no port of ours (another VLAN), or is
 * another station's. */
INLINE int read_frame(struct xdp_md* ctx, struct frame* f) {
  void* data = (void*)(long)ctx->data;
  void* end = (void*)(long)ctx->data_end;
  f->ctx = ctx;
  f->first = element(WORDS_FIRST);
  f->second = element(WORDS_SECOND);
  if (!f->first || !f->second) return 0;
  if (data + ETHERNET_LENGTH > end) return 0;
  td_u32 vlan = 0;
  f->type = SWAP16(*(td_u16*)(data + 12));
  f->l3 = ETHERNET_LENGTH;
  if (f->type == TYPE_VLAN) {
    if (data + ETHERNET_LENGTH + TAG_LENGTH > end) return 0;
    vlan = SWAP16(*(td_u16*)(data + 14)) & 0xfff;
    f->type = SWAP16(*(td_u16*)(data + 16));
    f->l3 = ETHERNET_LENGTH + TAG_LENGTH;
  }
  const td_u32 vlans = SECOND(f, TD_XDP_VLANS);
  if (ctx->ingress_ifindex == SECOND(f, TD_XDP_OUTSIDE_INTERFACE) && vlan == vlans >> 16) {
    f->side = TD_PORT_OUTSIDE;
    if (!is_for(data, SECOND(f, TD_XDP_OUTSIDE_MAC_HIGH), SECOND(f, TD_XDP_OUTSIDE_MAC_LOW)) &&
        !is_held(data, TD_GROUP_OUTSIDE) && !is_held(data, TD_GROUP_INSIDE))
      return 0;
  } else if (ctx->ingress_ifindex == SECOND(f, TD_XDP_INSIDE_INTERFACE) && vlan == (vlans & 0xffff)) {
    f->side = TD_PORT_INSIDE;
    if (!is_for(data, SECOND(f, TD_XDP_INSIDE_MAC_HIGH), SECOND(f, TD_XDP_INSIDE_MAC_LOW)) &&
        !is_held(data, TD_GROUP_INSIDE))
      return 0;
  } else {
    return 0;
  }
  /* Forgotten, so that the verifier walks what follows once, and not once for each tag and side: for all that it knows
   * a word of the table may have changed its mind. */
  td_u32 nothing = vlans;
  OPAQUE(nothing);
  nothing ^= vlans;
  f->l3 += nothing;
  f->side += nothing;
  return 1;
}

#endif
