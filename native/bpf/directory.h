/* Whose address is it? src/flow/directory-segment.ts writes what is read here. */
#ifndef TUNNEL_DESIGNATOR_BPF_DIRECTORY_H
#define TUNNEL_DESIGNATOR_BPF_DIRECTORY_H

#include "frame.h"

#define DIRECTORY_MASK (TD_DIRECTORY_SLOTS - 1)

/* Address index | role << 16 where the address has this role, else −1. Words as the network bytes spell them. */
INLINE int who_is(const struct frame* f, td_u32 a0, td_u32 a1, td_u32 a2, td_u32 a3, td_u32 role) {
  const td_u32 directory = FIRST(f, TD_XDP_DIRECTORY);
  const td_u32 base = directory & ((1U << TD_DIRECTORY_SEED_SHIFT) - 1);
  const td_u32 first = td_spread_address(a0, a1, a2, a3, directory >> TD_DIRECTORY_SEED_SHIFT);
#pragma clang loop unroll(disable)
  for (td_u32 n = 0; n < TD_DIRECTORY_REACH; n++) {
    const td_u32 slot = (first + n) & DIRECTORY_MASK;
    td_u32* item = element(base + (slot >> 1));
    if (!item) return -1;
    item += (slot & 1) * TD_DIRECTORY_WORDS;
    const td_u32 index = item[TD_DIRECTORY_INDEX];
    if (index == 0) return -1;
    if (((item[3] ^ a3) | (item[2] ^ a2) | (item[1] ^ a1) | (item[0] ^ a0)) == 0) {
      return (item[TD_DIRECTORY_ROLE] & role) != 0 ? (int)((index - 1) & 0xffff) : -1;
    }
  }
  return -1;
}

/* True for a place where a VIP listens or a server answers by configuration. */
INLINE int is_place(td_u32 address, td_u32 port, td_u32 role) {
  const td_u32 key = address << 16 | port;
  const td_u32* roles = bpf_map_lookup_elem(&td_places, &key);
  return roles && (*roles & role) != 0;
}

#endif
