/* What an XDP forwarder can cost at the least: one look-up in the kernel's own preallocated hash map, keyed by the
 * client's address, both ports and the tunnel; then addresses, ports, TTL, MACs and checksums are rewritten, the entry
 * counts, the frame goes out. No fragments, no options, no other protocols, no versions: a yardstick, no product. */
#include "bench.h"

#define IP_FRAGMENT 0xff3f /* offset and more-fragments, network order read as little endian */

struct key {
  __u32 client;
  __u32 ports;          /* client's, then the other one; as in the header */
  __u16 tunnel, inside; /* 1: from the server's side */
};
struct entry {
  __u32 address; /* takes the place of the VIP's or the server's */
  __u16 port;
  __u16 egress;
  __u8 macs[12];
  __u32 unused;
  __u64 packets, bytes;
};

struct {
  UINT(type, BPF_MAP_TYPE_HASH);
  UINT(max_entries, 1);
  TYPE(key, struct key);
  TYPE(value, struct entry);
} bench_flows SEC(".maps");
struct {
  UINT(type, BPF_MAP_TYPE_DEVMAP);
  UINT(max_entries, 2);
  TYPE(key, __u32);
  TYPE(value, __u32);
} bench_devices SEC(".maps");

/* RFC 1624, equation 3, over one 32-bit word and one 16-bit word. */
INLINE __u16 updated(__u16 check, __u32 old32, __u32 new32, __u16 old16, __u16 new16) {
  __u64 sum = (__u16)~check;
  sum += (__u32)~old32;
  sum += new32;
  sum += (__u16)~old16;
  sum += new16;
  return (__u16)~fold(sum);
}

INLINE int forward(struct xdp_md* context, int from_server) {
  struct bench_frame* f = (void*)(long)context->data;
  const void* end = (void*)(long)context->data_end;
  if ((void*)&f->stamp > end) return XDP_PASS;
  if (f->ethernet.h_proto != SWAP16(ETH_P_IP)) return XDP_PASS;
  if (f->ip.version != 4 || f->ip.ihl != 5 || f->ip.protocol != 17 || (f->ip.frag_off & IP_FRAGMENT)) return XDP_PASS;
  if ((f->l2tp_flags & SWAP16(0xc20f)) != SWAP16(0x0002) || f->ip.ttl <= 1) return XDP_PASS;
  const struct key key = {
      .client = from_server ? f->ip.daddr : f->ip.saddr,
      .ports = from_server ? (__u32)f->udp.dest << 16 | f->udp.source : (__u32)f->udp.source << 16 | f->udp.dest,
      .tunnel = f->tunnel,
      .inside = (__u16)from_server,
  };
  struct entry* entry = bpf_map_lookup_elem(&bench_flows, &key);
  if (!entry) return XDP_PASS;
  const __u32 address = entry->address;
  const __u16 port = entry->port;
  const __u32 old_address = from_server ? f->ip.saddr : f->ip.daddr;
  const __u16 old_port = from_server ? f->udp.source : f->udp.dest;
  if (f->udp.check) {
    const __u16 check = updated(f->udp.check, old_address, address, old_port, port);
    f->udp.check = check ? check : 0xffff;
  }
  const __u16 old_ttl = *(__u16*)&f->ip.ttl;
  f->ip.ttl--;
  f->ip.check = updated(f->ip.check, old_address, address, old_ttl, *(__u16*)&f->ip.ttl);
  if (from_server) {
    f->ip.saddr = address;
    f->udp.source = port;
  } else {
    f->ip.daddr = address;
    f->udp.dest = port;
  }
  __builtin_memcpy(f, entry->macs, 12);
  __sync_fetch_and_add(&entry->packets, 1);
  __sync_fetch_and_add(&entry->bytes, (__u64)(context->data_end - context->data - ETH_HLEN));
  return (int)bpf_redirect_map(&bench_devices, entry->egress, XDP_DROP);
}

SEC("xdp/outside") int td_bare_outside(struct xdp_md* context) { return forward(context, 0); }
SEC("xdp/inside") int td_bare_inside(struct xdp_md* context) { return forward(context, 1); }

char bench_license[] SEC("license") = "GPL";
