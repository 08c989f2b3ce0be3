/* The benchmarks' far end: counts and drops every UDP packet, the same for all contestants, control messages apart, and
 * sorts them by how long they were under way when the source has written that into them. All else goes to the host. */
#include "bench.h"

#define STAMPED 1
/* Sixteen buckets for each power of two, so that a bucket is at most a sixteenth wide. */
#define STEPS 16
#define BUCKETS 640

/* bench/end-child.ts reads it in memory. */
struct sink {
  __u64 packets, bytes;
  __u64 flags;
  __u64 control;
  __u64 unused[4];
};

struct {
  UINT(type, BPF_MAP_TYPE_ARRAY);
  UINT(max_entries, 1);
  UINT(map_flags, BPF_F_MMAPABLE);
  TYPE(key, __u32);
  TYPE(value, struct sink);
} bench_sink SEC(".maps");
struct {
  UINT(type, BPF_MAP_TYPE_ARRAY);
  UINT(max_entries, BUCKETS);
  UINT(map_flags, BPF_F_MMAPABLE);
  TYPE(key, __u32);
  TYPE(value, __u64);
} bench_latency SEC(".maps");

INLINE __u32 bucket_of(__u64 value) {
  if (value < STEPS) return (__u32)value;
  __u32 power = 0;
  __u64 rest = value;
#pragma unroll
  for (int step = 32; step > 0; step >>= 1) {
    if (rest >> step) {
      rest >>= step;
      power += (__u32)step;
    }
  }
  const __u32 bucket = (power - 3) * STEPS + (__u32)((value >> (power - 4)) & (STEPS - 1));
  return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

SEC("xdp") int td_bench_sink(struct xdp_md* context) {
  const struct bench_frame* f = (void*)(long)context->data;
  const void* end = (void*)(long)context->data_end;
  if ((const void*)(f + 1) > end) return XDP_PASS;
  if (f->ethernet.h_proto != SWAP16(ETH_P_IP) || f->ip.protocol != 17) return XDP_PASS;
  const __u32 zero = 0;
  struct sink* s = bpf_map_lookup_elem(&bench_sink, &zero);
  if (!s) return XDP_ABORTED;
  if (f->l2tp_flags & SWAP16(0x8000)) {
    __sync_fetch_and_add(&s->control, 1);
    return XDP_DROP;
  }
  __sync_fetch_and_add(&s->packets, 1);
  __sync_fetch_and_add(&s->bytes, (__u64)(context->data_end - context->data));
  if (s->flags & STAMPED) {
    const __u64 now = bpf_ktime_get_ns();
    const __u32 bucket = bucket_of(now > f->stamp ? now - f->stamp : 0);
    __u64* count = bpf_map_lookup_elem(&bench_latency, &bucket);
    if (count) __sync_fetch_and_add(count, 1);
  }
  return XDP_DROP;
}

char bench_license[] SEC("license") = "GPL";
