/* Incremental update of Internet checksums, RFC 1624 eqn. 3, as native/checksum.h does it. Words are added as they
 * stand in the packet: the ones' complement sum is the same in either byte order but for the order of its own bytes
 * (RFC 1071 §2.B), so nothing has to be turned. */
#ifndef TUNNEL_DESIGNATOR_BPF_CHECKSUM_H
#define TUNNEL_DESIGNATOR_BPF_CHECKSUM_H

#include "helpers.h"

INLINE td_u64 change32(td_u32 before, td_u32 after) { return (td_u64)(td_u32)~before + after; }
INLINE td_u64 change16(td_u16 before, td_u16 after) { return (td_u64)(td_u16)~before + after; }

INLINE td_u16 apply_change(td_u16 checksum, td_u64 change) {
  td_u64 sum = change + (td_u16)~checksum;
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (td_u16) ~((sum & 0xffff) + (sum >> 16));
}

#endif
