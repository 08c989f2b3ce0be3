/* The deny list: floods die here. Read for what no entry forwards; an entry whose client is denied has TD_FLAG_DENIED.
 */
#ifndef TUNNEL_DESIGNATOR_BPF_DENY_H
#define TUNNEL_DESIGNATOR_BPF_DENY_H

#include "frame.h"

/* True when a source (words as the network bytes spell them) is denied. Counts it. */
INLINE int is_denied(const struct frame* f, td_u32 a0, td_u32 a1, td_u32 a2, td_u32 a3, int from_server) {
  const td_u32 flags = FIRST(f, TD_XDP_FLAGS);
  if ((flags & (TD_XDP_FLAG_DENY_LIST | TD_XDP_FLAG_DENY_BY_DEFAULT)) == 0) return 0;
  /* With one arm everything arrives outside, and servers are told by their addresses. */
  if (f->side != TD_PORT_OUTSIDE || ((flags & TD_XDP_FLAG_ONE_ARM) != 0 && from_server)) return 0;
  int denied = (flags & TD_XDP_FLAG_DENY_BY_DEFAULT) != 0;
  if ((flags & TD_XDP_FLAG_DENY_LIST) != 0) {
    const struct td_deny_key key = {128, {SWAP32(a0), SWAP32(a1), SWAP32(a2), SWAP32(a3)}};
    const td_u32* said = bpf_map_lookup_elem(&td_deny, &key);
    if (said) denied = *said == TD_DENY_DENIED;
  }
  if (denied) count(TD_COUNTER_DENIED, 1);
  return denied;
}

#endif
