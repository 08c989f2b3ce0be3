/* The benchmarks' fast source. BPF_PROG_TEST_RUN with live frames calls it again and again on frames that it recycles
 * as they come back, so it writes the whole head anew each time: MACs, TTL, addresses, ports, tunnel, checksums. Flows
 * take turns. A call that has nothing to send yet drops its frame, which costs next to nothing: that is how it keeps a
 * rate. */
#include "bench.h"

#define HEAD_LENGTH 64
#define STAMPED 1
#define PACED 2
#define BOTH 4 /* every other head leaves by the other end's wire */

struct head {
  __u64 words[HEAD_LENGTH / 8];
};

/* bench/end-child.ts writes and reads it in memory. One program on one CPU is its only other writer. */
struct source {
  __u32 next, count; /* heads */
  __u32 flags, unused;
  __u64 left;     /* frames that may still be sent */
  __u64 sent;     /* since ever */
  __u64 interval; /* 1/1024 ns between frames */
  __u64 due;      /* 1/1024 ns: when the next one may leave */
  __u64 debt;     /* 1/1024 ns: what it was late beyond this it does not make good */
  __u64 reserved;
};

struct {
  UINT(type, BPF_MAP_TYPE_ARRAY);
  UINT(max_entries, 1);
  UINT(map_flags, BPF_F_MMAPABLE);
  TYPE(key, __u32);
  TYPE(value, struct head);
} bench_heads SEC(".maps");
struct {
  UINT(type, BPF_MAP_TYPE_ARRAY);
  UINT(max_entries, 1);
  UINT(map_flags, BPF_F_MMAPABLE);
  TYPE(key, __u32);
  TYPE(value, struct source);
} bench_source SEC(".maps");
/* 0 this end's wire, 1 the other end's, in another namespace. */
struct {
  UINT(type, BPF_MAP_TYPE_DEVMAP);
  UINT(max_entries, 2);
  TYPE(key, __u32);
  TYPE(value, __u32);
} bench_wires SEC(".maps");

SEC("xdp") int td_bench_source(struct xdp_md* context) {
  __u64* frame = (void*)(long)context->data;
  const void* end = (void*)(long)context->data_end;
  if ((void*)frame + HEAD_LENGTH > end) return XDP_ABORTED;
  const __u32 zero = 0;
  struct source* s = bpf_map_lookup_elem(&bench_source, &zero);
  if (!s || s->left == 0) return XDP_DROP;
  __u64 now = 0;
  if (s->flags & (STAMPED | PACED)) now = bpf_ktime_get_ns();
  if (s->flags & PACED) {
    const __u64 at = now << 10;
    if (at < s->due) return XDP_DROP;
    if (at - s->due > s->debt) s->due = at - s->debt;
    s->due += s->interval;
  }
  __u32 index = s->next;
  const struct head* head = bpf_map_lookup_elem(&bench_heads, &index);
  if (!head) return XDP_ABORTED;
  const __u32 wire = s->flags & BOTH ? index & 1 : 0;
  index++;
  s->next = index >= s->count ? 0 : index;
  s->left--;
  s->sent++;
#pragma unroll
  for (int i = 0; i < HEAD_LENGTH / 8; i++) frame[i] = head->words[i];
  if (s->flags & STAMPED) {
    struct bench_frame* f = (void*)frame;
    __u64 before = f->stamp;
    const __u16 check = fold((__u64)bpf_csum_diff((void*)&before, 8, (void*)&now, 8, (__u16)~f->udp.check));
    f->stamp = now;
    f->udp.check = (__u16)~check == 0 ? 0xffff : (__u16)~check;
  }
  return (int)bpf_redirect_map(&bench_wires, wire, XDP_DROP);
}

char bench_license[] SEC("license") = "GPL";
