/* The maps. Sizes that depend on the machine or the configuration are 0 here: who creates them knows. */
#ifndef TUNNEL_DESIGNATOR_BPF_MAPS_H
#define TUNNEL_DESIGNATOR_BPF_MAPS_H

#include "counters.h"
#include "helpers.h"

/* The table: native/layout.h, as elements of TD_ELEMENT_LENGTH bytes. */
struct td_map td_table SECTION(".maps") = {BPF_MAP_TYPE_ARRAY, 4, TD_ELEMENT_LENGTH, 0, BPF_F_MMAPABLE};
/* Port (TD_PORT_OUTSIDE, TD_PORT_INSIDE) → interface index. */
struct td_map td_devices SECTION(".maps") = {BPF_MAP_TYPE_DEVMAP, 4, 4, 2, 0};
/* (device * queues + queue) * shards + shard → AF_XDP socket. */
struct td_map td_sockets SECTION(".maps") = {BPF_MAP_TYPE_XSKMAP, 4, 4, 0, 0};
/* Which CPU goes on with a hit, when hits are spread. */
struct td_map td_cpus SECTION(".maps") = {BPF_MAP_TYPE_CPUMAP, 4, 8, 0, 0};
/* Source prefix → TD_DENY_ALLOWED or TD_DENY_DENIED; the longest prefix counts. */
struct td_map td_deny SECTION(".maps") = {BPF_MAP_TYPE_LPM_TRIE, 20, 4, 0, BPF_F_NO_PREALLOC};
/* Address index << 16 | port → TD_ADDRESS_ROLE bits: where VIPs listen and servers answer by configuration. */
struct td_map td_places SECTION(".maps") = {BPF_MAP_TYPE_HASH, 4, 4, 0, 0};
/* counters.h, one u64 each. */
struct td_map td_counters SECTION(".maps") = {BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, TD_COUNTERS, 0};

#define TD_DENY_ALLOWED 1
#define TD_DENY_DENIED 2

struct td_deny_key {
  td_u32 length;     /* bits */
  td_u32 address[4]; /* network order */
};

/* An element of the table, or NULL when there is no such. */
INLINE td_u32* element(td_u32 index) { return bpf_map_lookup_elem(&td_table, &index); }

INLINE void count(td_u32 index, td_u64 n) {
  td_u64* counter = bpf_map_lookup_elem(&td_counters, &index);
  if (counter) *counter += n;
}

#endif
