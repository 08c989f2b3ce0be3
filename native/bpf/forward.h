/* Sends a packet on by a table entry: what native/rewrite.cc does, byte for byte, and the way out. */
#ifndef TUNNEL_DESIGNATOR_BPF_FORWARD_H
#define TUNNEL_DESIGNATOR_BPF_FORWARD_H

#include "checksum.h"
#include "flow.h"

#define NANOSECONDS 1000000000ULL

#define PPP_IPV4 0x21
#define PPP_IPV6 0x57
#define TCP_FLAGS 13
#define TCP_SYN 0x02

/* May the packet hold a TCP SYN inside PPP? Then a shard looks at its MSS: src/dataplane/mss-clamp.ts. What is seldom
 * (an offset field, IPv6 extension headers) a shard looks at as well. */
INLINE int proposes_mss(const struct frame* f, int v6) {
  td_u32 at = (f->l3 & L3_MASK) + (v6 ? 40 : 20) + 8;
  td_u8 h[10];
  if (bpf_xdp_load_bytes(f->ctx, at, h, 6) != 0) return 0;
  if ((h[0] & 0x02) != 0) return 1;
  at += 6 + ((h[0] & 0x40) != 0 ? 2 : 0) + ((h[0] & 0x08) != 0 ? 4 : 0);
  if (bpf_xdp_load_bytes(f->ctx, at, h, 4) != 0) return 0;
  td_u32 ppp = 0;
  if (h[0] == 0xff && h[1] == 0x03) ppp = 2;
  td_u8 protocol = ppp ? h[2] : h[0];
  at += ppp + 1;
  if (protocol == 0) {
    protocol = ppp ? h[3] : h[1];
    at++;
  }
  if (protocol == PPP_IPV4) {
    if (bpf_xdp_load_bytes(f->ctx, at, h, 10) != 0 || h[9] != 6) return 0;
    at += (h[0] & 15U) << 2;
  } else if (protocol == PPP_IPV6) {
    if (bpf_xdp_load_bytes(f->ctx, at, h, 7) != 0) return 0;
    if (h[6] == 0 || h[6] == 43 || h[6] == 60) return 1;
    if (h[6] != 6) return 0;
    at += 40;
  } else {
    return 0;
  }
  if (bpf_xdp_load_bytes(f->ctx, at + TCP_FLAGS, h, 1) != 0) return 0;
  return (h[0] & TCP_SYN) != 0;
}

/* All that forwarding takes, read and found good before the first byte changes. */
struct passage {
  td_u32 mac_high, mac_low; /* of the next hop, as NEXT_HOP has them */
  td_u32 port;
  td_u32* address;
  td_u32 other[4]; /* full NAT: the other new address */
  td_u32 channel;
  td_u32 flags;
};

/* Full NAT: the other new address, from the entry that native/rewrite.cc takes it from. The key of an entry that is
 * removed meanwhile stands there for 100 ms more. False where there is none, or not this moment. */
INLINE int find_other(const struct frame* f, const td_u32* record, const struct orders* o, const int v6,
                      struct passage* p) {
  td_u32 found = 0;
  if ((o->record & TD_FLAG_REWRITE_SOURCE) == 0) {
    found = ONCE(record[TD_RECORD_ENTRY_ALIAS]);
  } else {
    found = ONCE(record[TD_RECORD_ENTRY_FORWARD]);
    if (found == 0) found = ONCE(record[TD_RECORD_ENTRY_HALF_OPEN]);
  }
  if (found == 0) return 0;
  td_u32* entry = element(FIRST(f, TD_XDP_ENTRIES) + (found - 1));
  if (!entry || (ONCE(entry[TD_ENTRY_VERSION]) & 1) != 0) return 0;
  /* The same tunnel's, of the same family. */
  if (((ONCE(entry[TD_ENTRY_RECORD]) ^ o->record) & (0xffffff00 | TD_FLAG_IPV4)) != 0) return 0;
  for (td_u32 word = v6 ? 0 : 3; word < 4; word++) p->other[word] = entry[TD_ENTRY_CLIENT + word];
  return 1;
}

/* False when this program must not forward by these orders: the shards know what to do. */
INLINE int prepare(const struct frame* f, const struct flow* k, const struct orders* o, const int v6, td_u8 ttl,
                   struct passage* p) {
  p->flags = o->record & 0xff;
  if ((p->flags & (TD_FLAG_OFFLOADED | TD_FLAG_DENIED)) != TD_FLAG_OFFLOADED) return 0;
  /* One comparison for two questions, so that clamping costs nothing where nobody wants it. */
  const td_u32 switches = FIRST(f, TD_XDP_FLAGS) & (TD_XDP_FLAG_OFFLOAD | TD_XDP_FLAG_CLAMP);
  if (__builtin_expect(switches != TD_XDP_FLAG_OFFLOAD, 0) &&
      ((switches & TD_XDP_FLAG_OFFLOAD) == 0 || proposes_mss(f, v6)))
    return 0;
  if ((p->flags & TD_FLAG_DECREMENT_TTL) != 0 && ttl <= 1) return 0;
  td_u32* hop = element(FIRST(f, TD_XDP_NEXT_HOPS) + ((o->target & 0xffff) >> 1));
  if (!hop) return 0;
  hop += (o->target & 1) * TD_NEXT_HOP_WORDS;
  const td_u32 version = ONCE(hop[TD_NEXT_HOP_VERSION]);
  ORDERED();
  p->mac_high = ONCE(hop[TD_NEXT_HOP_MAC_HIGH]);
  p->mac_low = ONCE(hop[TD_NEXT_HOP_MAC_LOW]);
  ORDERED();
  if ((version & 1) != 0 || ONCE(hop[TD_NEXT_HOP_VERSION]) != version) return 0;
  if ((p->mac_low & 0xff) != TD_NEXT_HOP_STATE_RESOLVED) return 0;
  p->port = p->mac_low >> 8 & 0xff;
  if (p->port > TD_PORT_INSIDE) {
    /* Into this host, which has the server's address: the frame will look like one for the device that it came in on.
     */
    if (p->port != TD_PORT_HOST) return 0;
    const int outside = f->side == TD_PORT_OUTSIDE;
    p->mac_high = outside ? SECOND(f, TD_XDP_OUTSIDE_MAC_HIGH) : SECOND(f, TD_XDP_INSIDE_MAC_HIGH);
    p->mac_low = outside ? SECOND(f, TD_XDP_OUTSIDE_MAC_LOW) : SECOND(f, TD_XDP_INSIDE_MAC_LOW);
  }
  td_u32* address = element(FIRST(f, TD_XDP_ADDRESSES) + (o->target >> 17));
  if (!address) return 0;
  p->address = address + (o->target >> 16 & 1) * TD_ADDRESS_WORDS;
  if (p->address[TD_ADDRESS_FAMILY] != (v6 ? 6 : 4)) return 0;
  if ((p->flags & (TD_FLAG_REWRITE_CHANNEL | TD_FLAG_REWRITE_BOTH)) != 0) {
    td_u32* record = element(FIRST(f, TD_XDP_RECORDS) + (o->record >> 8));
    if (!record) return 0;
    if ((p->flags & TD_FLAG_REWRITE_BOTH) != 0) {
      if (!find_other(f, record, o, v6, p)) return 0;
    }
    p->channel = k->from_client ? ONCE(record[TD_RECORD_SERVER_CHANNEL]) : ONCE(record[TD_RECORD_VIRTUAL_CHANNEL]);
    ORDERED();
    /* A record is given to another tunnel only after its entries are gone. */
    if (ONCE(o->entry[TD_ENTRY_VERSION]) != o->version) return 0;
  }
  return 1;
}

/* Addresses, ports, channel, TTL and checksums. `ip` to the L2TP header's end lie inside the frame. */
INLINE void rewrite(void* ip, const int v6, void* channel, const struct orders* o, const struct passage* p) {
  td_u8* udp = ip + (v6 ? 40 : 20);
  td_u64 l3 = 0;
  td_u64 l4 = 0;
  const int source = (p->flags & TD_FLAG_REWRITE_SOURCE) != 0;
  if (v6) {
    td_u32* field = source ? ip + 8 : ip + 24;
    for (td_u32 word = 0; word < 4; word++) {
      const td_u32 after = SWAP32(p->address[word]);
      l4 += change32(field[word], after);
      field[word] = after;
    }
  } else {
    const td_u32 after = SWAP32(p->address[3]);
    td_u32* field = source ? ip + 12 : ip + 16;
    l3 = change32(*field, after);
    *field = after;
    l4 = l3;
  }
  if ((p->flags & TD_FLAG_REWRITE_PORTS) != 0) {
    /* A port of 0 in the entry means: leave that one. */
    const td_u32 before = *(td_u32*)udp;
    td_u32 after = SWAP32(o->ports);
    if ((after & 0xffff) == 0) after |= before & 0xffff;
    if ((after >> 16) == 0) after |= before & 0xffff0000;
    l4 += change32(before, after);
    *(td_u32*)udp = after;
  }
  if ((p->flags & (TD_FLAG_REWRITE_CHANNEL | TD_FLAG_REWRITE_BOTH)) != 0) {
    if ((p->flags & TD_FLAG_REWRITE_CHANNEL) != 0) {
      const td_u16 after = SWAP16(p->channel);
      l4 += change16(*(td_u16*)channel, after);
      *(td_u16*)channel = after;
    }
    if ((p->flags & TD_FLAG_REWRITE_BOTH) != 0) {
      td_u32* field = ip + (v6 ? (source ? 24 : 8) : (source ? 16 : 12));
      for (td_u32 word = v6 ? 0 : 3; word < 4; word++, field++) {
        const td_u32 after = SWAP32(p->other[word]);
        const td_u64 change = change32(*field, after);
        if (!v6) l3 += change;
        l4 += change;
        *field = after;
      }
    }
  }
  if ((p->flags & TD_FLAG_DECREMENT_TTL) != 0) {
    if (v6) {
      *(td_u8*)(ip + 7) -= 1;
    } else {
      /* The TTL comes first in its word, which on a little-endian machine is the low byte. */
      const td_u16 before = *(td_u16*)(ip + 8);
      l3 += change16(before, (td_u16)(before - 1));
      *(td_u16*)(ip + 8) = (td_u16)(before - 1);
    }
  }
  if (!v6) *(td_u16*)(ip + 10) = apply_change(*(td_u16*)(ip + 10), l3);
  const td_u16 checksum = *(td_u16*)(udp + 6);
  if (checksum != 0) {
    const td_u16 after = apply_change(checksum, l4);
    *(td_u16*)(udp + 6) = after != 0 ? after : 0xffff;
  }
}

/* Seconds of CLOCK_MONOTONIC. The clock is read once in a tick of the kernel's, by whoever comes first, and the answer
 * kept beside the control words; jiffies are a plain load. */
INLINE td_u32 seconds_now(const struct frame* f) {
  volatile td_u64* kept = (td_u64*)&f->second[TD_XDP_CLOCK - 16];
  const td_u32 tick = (td_u32)bpf_jiffies64();
  const td_u64 last = *kept;
  if ((td_u32)(last >> 32) == tick) return (td_u32)last;
  const td_u32 seconds = (td_u32)(bpf_ktime_get_coarse_ns() / NANOSECONDS);
  *kept = (td_u64)tick << 32 | seconds;
  return seconds;
}

INLINE void account(const struct frame* f, const struct orders* o, td_u32 length) {
  td_u32* entry = o->entry;
  __sync_fetch_and_add((td_u64*)(entry + TD_ENTRY_PACKETS), 1);
  __sync_fetch_and_add((td_u64*)(entry + TD_ENTRY_BYTES), (td_u64)length);
  const td_u32 now = seconds_now(f);
  if (ONCE(entry[TD_ENTRY_LAST_SEEN]) != now) ONCE(entry[TD_ENTRY_LAST_SEEN]) = now;
}

INLINE void write_macs(void* at, const struct passage* p, td_u32 high, td_u32 low) {
  *(td_u32*)at = SWAP32(p->mac_high);
  *(td_u32*)(at + 4) = SWAP32((p->mac_low & 0xffff0000) | high >> 16);
  *(td_u32*)(at + 8) = SWAP32(high << 16 | low >> 16);
}

/* Ethernet header and tag as the port of egress has them. False when the tag cannot be put in or taken out. */
INLINE int dress(const struct frame* f, const struct passage* p) {
  struct xdp_md* ctx = f->ctx;
  const td_u32 vlans = SECOND(f, TD_XDP_VLANS);
  td_u32 tag = p->port == TD_PORT_OUTSIDE ? vlans >> 16 : vlans & 0xffff;
  if (p->port == TD_PORT_HOST) tag = 0;
  const td_u32 high =
      p->port == TD_PORT_OUTSIDE ? SECOND(f, TD_XDP_OUTSIDE_MAC_HIGH) : SECOND(f, TD_XDP_INSIDE_MAC_HIGH);
  const td_u32 low = p->port == TD_PORT_OUTSIDE ? SECOND(f, TD_XDP_OUTSIDE_MAC_LOW) : SECOND(f, TD_XDP_INSIDE_MAC_LOW);
  const int tagged = f->l3 != ETHERNET_LENGTH;
  if (tagged && tag == 0) {
    if (bpf_xdp_adjust_head(ctx, TAG_LENGTH) != 0) return 0;
  } else if (!tagged && tag != 0) {
    if (bpf_xdp_adjust_head(ctx, -TAG_LENGTH) != 0) return 0;
  }
  void* data = (void*)(long)ctx->data;
  void* end = (void*)(long)ctx->data_end;
  if (tag != 0) {
    if (data + ETHERNET_LENGTH + TAG_LENGTH > end) return 0;
    *(td_u32*)(data + 12) = SWAP32(TYPE_VLAN << 16 | tag);
  } else if (data + ETHERNET_LENGTH > end) {
    return 0;
  }
  write_macs(data, p, high, low);
  return 1;
}

/* The way out: XDP_TX where the frame leaves by the device it came in on and this program may do that, else a redirect.
 */
INLINE int leave(const struct frame* f, const struct flow* k, const struct passage* p, const int may_transmit,
                 td_u32 length) {
  if (p->port == TD_PORT_HOST) {
    count(TD_COUNTER_TO_HOST, 1);
    count(TD_COUNTER_BYTES_IN, length);
    return XDP_PASS;
  }
  const td_u32 device =
      p->port == TD_PORT_OUTSIDE ? SECOND(f, TD_XDP_OUTSIDE_INTERFACE) : SECOND(f, TD_XDP_INSIDE_INTERFACE);
  td_u32 way = TD_WAY_TX;
  int action = XDP_TX;
  if (!may_transmit || device != f->ctx->ingress_ifindex || (FIRST(f, TD_XDP_FLAGS) & TD_XDP_FLAG_REDIRECT_BACK) != 0) {
    way = p->port;
    action = (int)bpf_redirect_map(&td_devices, p->port, XDP_DROP);
    if (action != XDP_REDIRECT) {
      count(TD_COUNTER_REDIRECT_FAILED, 1);
      return XDP_DROP;
    }
  }
  count((k->from_client ? 0 : TD_WAYS) + way, 1);
  count(k->from_client ? TD_COUNTER_BYTES_IN : TD_COUNTER_BYTES_OUT, length);
  return action;
}

#endif
