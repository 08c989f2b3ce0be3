/* Whose address is it? src/flow/directory-segment.ts writes what is read here. */
#ifndef TUNNEL_DESIGNATOR_BPF_DIRECTORY_H
#define TUNNEL_DESIGNATOR_BPF_DIRECTORY_H

#include "frame.h"

#define DIRECTORY_MASK (TD_DIRECTORY_SLOTS - 1)

#define ROLE_NONE 0
#define ROLE_CLIENT 1 /* the packet comes from a client: its destination is a VIP */
#define ROLE_SERVER 2

/* Between whom a packet goes. */
struct ends {
  td_u32 role;
  td_u32 address;  /* index of the VIP, or of the server */
  td_u32 to_local; /* to an address that is the designator's alone */
};

/* Of an address that the directory has: its index, and its roles << 16. 0: nobody's. Words as the network bytes spell
 * them. */
INLINE td_u32 look_up(const struct frame* f, td_u32 a0, td_u32 a1, td_u32 a2, td_u32 a3) {
  const td_u32 directory = FIRST(f, TD_XDP_DIRECTORY);
  const td_u32 base = directory & ((1U << TD_DIRECTORY_SEED_SHIFT) - 1);
  const td_u32 first = td_spread_address(a0, a1, a2, a3, directory >> TD_DIRECTORY_SEED_SHIFT);
#pragma clang loop unroll(disable)
  for (td_u32 n = 0; n < TD_DIRECTORY_REACH; n++) {
    const td_u32 slot = (first + n) & DIRECTORY_MASK;
    td_u32* item = element(base + (slot >> 1));
    if (!item) return 0;
    item += (slot & 1) * TD_DIRECTORY_WORDS;
    const td_u32 index = item[TD_DIRECTORY_INDEX];
    if (index == 0) return 0;
    if (((item[3] ^ a3) | (item[2] ^ a2) | (item[1] ^ a1) | (item[0] ^ a0)) == 0)
      return item[TD_DIRECTORY_ROLE] << 16 | ((index - 1) & 0xffff);
  }
  return 0;
}

/* The address has one of these roles. */
INLINE int is_any(const struct frame* f, td_u32 a0, td_u32 a1, td_u32 a2, td_u32 a3, td_u32 roles) {
  return (look_up(f, a0, a1, a2, a3) >> 16 & roles) != 0;
}

/* Two searches for every packet, and no more: what is inlined here the verifier walks again and again. */
INLINE void find_ends(const struct frame* f, td_u32 s0, td_u32 s1, td_u32 s2, td_u32 s3, td_u32 d0, td_u32 d1,
                      td_u32 d2, td_u32 d3, struct ends* e) {
  td_u32 found = look_up(f, d0, d1, d2, d3);
  OPAQUE(found);
  e->role = ROLE_CLIENT;
  e->to_local = 0;
  if ((found >> 16 & TD_ADDRESS_ROLE_VIP) == 0) {
    e->to_local = (found >> 16 & TD_ADDRESS_ROLE_LOCAL) != 0;
    OPAQUE(e->to_local);
    const td_u32 wanted = e->to_local ? TD_ADDRESS_ROLE_SERVER | TD_ADDRESS_ROLE_ENDPOINT : TD_ADDRESS_ROLE_SERVER;
    found = look_up(f, s0, s1, s2, s3);
    e->role = (found >> 16 & wanted) != 0 ? ROLE_SERVER : ROLE_NONE;
  }
  OPAQUE(e->role);
  OPAQUE(e->to_local);
  e->address = found & 0xffff;
}

/* True for a place where a VIP listens or a server answers by configuration. */
INLINE int is_place(td_u32 address, td_u32 port, td_u32 role) {
  const td_u32 key = address << 16 | port;
  const td_u32* roles = bpf_map_lookup_elem(&td_places, &key);
  return roles && (*roles & role) != 0;
}

#endif
