/* What the programs of the benchmarks share: helpers of the kernel, declared by hand, and the headers that they read.
 */
#ifndef TUNNEL_DESIGNATOR_BENCH_H
#define TUNNEL_DESIGNATOR_BENCH_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define UINT(name, value) int(*name)[value]
#define TYPE(name, value) value* name
#define SWAP16(x) __builtin_bswap16(x)

static void* (*const bpf_map_lookup_elem)(void* map, const void* key) = (void*)BPF_FUNC_map_lookup_elem;
static __u64 (*const bpf_ktime_get_ns)(void) = (void*)BPF_FUNC_ktime_get_ns;
static long (*const bpf_redirect_map)(void* map, __u64 key, __u64 flags) = (void*)BPF_FUNC_redirect_map;
static __s64 (*const bpf_csum_diff)(void* from, __u32 from_size, void* to, __u32 to_size,
                                    __u32 seed) = (void*)BPF_FUNC_csum_diff;

/* Every frame of the benchmarks: IPv4 without options, UDP, an L2TPv2 data message without optional fields, and eight
 * bytes in which the source may write when it sent the frame. */
#define STAMP_OFFSET 48
struct bench_frame {
  struct ethhdr ethernet;
  struct iphdr ip;
  struct udphdr udp;
  __u16 l2tp_flags, tunnel, session;
  __u64 stamp;
} __attribute__((packed));

INLINE __u16 fold(__u64 sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (__u16)sum;
}

#endif
