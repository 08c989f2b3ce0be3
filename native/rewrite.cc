#include "rewrite.h"

#include <atomic>
#include <cstring>

#include "checksum.h"

namespace td {
namespace {

constexpr std::size_t kEthernetLength = 14;
constexpr uint16_t kTypeIpv4 = 0x0800;
constexpr uint16_t kTypeIpv6 = 0x86dd;
constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;
constexpr uint8_t kIcmpv6 = 58;
constexpr unsigned kExtensionLimit = 8;

uint32_t load_acquire(const uint32_t* word) noexcept { return std::atomic_ref<uint32_t>(*const_cast<uint32_t*>(word)).load(std::memory_order_acquire); }

/// What an entry says, copied under its version word.
struct Verdict {
  uint32_t tag, target, ports, record;
};

bool read_entry(const uint32_t* entry, Verdict* out) noexcept {
  const uint32_t before = load_acquire(entry + TD_ENTRY_VERSION);
  if ((before & 1) != 0) return false;
  out->tag = entry[TD_ENTRY_TAG];
  out->target = entry[TD_ENTRY_TARGET];
  out->ports = entry[TD_ENTRY_PORTS];
  out->record = entry[TD_ENTRY_RECORD];
  std::atomic_thread_fence(std::memory_order_acquire);
  return load_acquire(entry + TD_ENTRY_VERSION) == before;
}

/// Destination MAC and port of a next hop; false when it is unresolved or being written.
bool read_next_hop(const uint32_t* hop, uint8_t mac[6], uint8_t* port) noexcept {
  const uint32_t before = load_acquire(hop + TD_NEXT_HOP_VERSION);
  const uint32_t high = hop[TD_NEXT_HOP_MAC_HIGH];
  const uint32_t low = hop[TD_NEXT_HOP_MAC_LOW];
  std::atomic_thread_fence(std::memory_order_acquire);
  if ((before & 1) != 0 || load_acquire(hop + TD_NEXT_HOP_VERSION) != before) return false;
  if ((low & 0xff) != TD_NEXT_HOP_STATE_RESOLVED) return false;
  store32(mac, high);
  store16(mac + 4, low >> 16);
  *port = static_cast<uint8_t>(low >> 8);
  return true;
}

/// Where the headers of an IP packet lie. `end` is that of the IP payload.
struct Headers {
  bool v6 = false;
  uint8_t protocol = 0;
  std::size_t l3 = 0, l4 = 0, end = 0;
};

bool find_headers(std::span<const uint8_t> frame, Headers* h) noexcept {
  if (frame.size() < kEthernetLength) return false;
  const uint16_t type = load16(&frame[12]);
  h->l3 = kEthernetLength;
  const uint8_t* ip = frame.data() + kEthernetLength;
  const std::size_t room = frame.size() - kEthernetLength;
  if (type == kTypeIpv4) {
    if (room < 20 || (ip[0] >> 4) != 4) return false;
    const std::size_t header = static_cast<std::size_t>(ip[0] & 15) * 4;
    const std::size_t total = load16(ip + 2);
    if (header < 20 || total < header || total > room) return false;
    if ((load16(ip + 6) & 0x1fff) != 0) return false;  // a later fragment has no ports to rewrite
    h->protocol = ip[9];
    h->l4 = kEthernetLength + header;
    h->end = kEthernetLength + total;
    return true;
  }
  if (type != kTypeIpv6 || room < 40 || (ip[0] >> 4) != 6) return false;
  h->v6 = true;
  h->end = kEthernetLength + 40 + load16(ip + 4);
  if (h->end > frame.size()) return false;
  uint8_t next = ip[6];
  std::size_t at = kEthernetLength + 40;
  for (unsigned n = 0; next == 0 || next == 43 || next == 60; n++) {
    if (n == kExtensionLimit || h->end - at < 8) return false;
    next = frame[at];
    at += (static_cast<std::size_t>(frame[at + 1]) + 1) * 8;
    if (at > h->end) return false;
  }
  if (next == 44) return false;
  h->protocol = next;
  h->l4 = at;
  return true;
}

/// Byte offset, in the frame, of the L2TPv2 tunnel id (RFC 2661 §3.1: behind the length where the L bit is set), or 0.
std::size_t l2tp_channel(std::span<const uint8_t> frame, const Headers& h) noexcept {
  if (h.protocol != kUdp || h.end < h.l4 + 8 + 4) return 0;
  const std::size_t message = h.l4 + 8;
  if ((frame[message + 1] & 0x0f) != 2) return 0;
  const std::size_t at = message + ((frame[message] & 0x40) != 0 ? 4 : 2);
  return at + 2 <= h.end ? at : 0;
}

/// Writes the L4 checksum anew over the whole segment.
void full_checksum(std::span<uint8_t> frame, const Headers& h, std::size_t field) noexcept {
  uint8_t* ip = frame.data() + h.l3;
  std::size_t length = h.end - h.l4;
  if (h.protocol == kUdp) {
    const std::size_t udp = load16(&frame[h.l4 + 4]);
    if (udp >= 8 && udp < length) length = udp;
  }
  uint32_t sum = h.v6 ? sum_bytes(ip + 8, 32, 0) : sum_bytes(ip + 12, 8, 0);
  sum += h.protocol + static_cast<uint32_t>(length & 0xffff) + static_cast<uint32_t>(length >> 16);
  store16(&frame[field], 0);
  uint16_t checksum = static_cast<uint16_t>(~fold(sum_bytes(&frame[h.l4], length, sum)));
  if (checksum == 0 && h.protocol == kUdp) checksum = 0xffff;  // a computed 0 would mean "none sent" (RFC 768)
  store16(&frame[field], checksum);
}

}  // namespace

RewriteResult rewrite(const RewriteContext& context, std::span<uint8_t> frame, uint32_t slot, bool partial_checksum, uint8_t* egress) noexcept {
  const TableView& table = context.table;
  if (slot >= table.slot_count) return RewriteResult::kFailed;
  uint32_t* entry = table.entries + static_cast<std::size_t>(slot) * TD_ENTRY_WORDS;
  Verdict verdict{};
  if (!read_entry(entry, &verdict)) return RewriteResult::kEntryChanged;
  const uint32_t flags = verdict.record & 0xff;
  if ((flags & TD_FLAG_DENIED) != 0) return RewriteResult::kEntryChanged;  // denied since it was decided
  Headers h;
  if (!find_headers(frame, &h)) return RewriteResult::kFailed;

  // Everything that can fail comes before the first byte changes.
  const uint32_t address_index = verdict.target >> 16;
  const uint32_t hop_index = verdict.target & 0xffff;
  if (address_index >= TD_ADDRESS_LIMIT) return RewriteResult::kFailed;
  const uint32_t* address = table.addresses + address_index * TD_ADDRESS_WORDS;
  const bool address_v6 = !(address[0] == 0 && address[1] == 0 && address[2] == 0xffff);
  if (address_v6 != h.v6) return RewriteResult::kFailed;
  uint8_t mac[6];
  uint8_t port = 0;
  uint8_t* ip = frame.data() + h.l3;
  uint8_t* ttl = ip + (h.v6 ? 7 : 8);
  if ((flags & TD_FLAG_DECREMENT_TTL) != 0 && *ttl <= 1) return RewriteResult::kTtlExpired;
  if (!read_next_hop(table.next_hops + hop_index * TD_NEXT_HOP_WORDS, mac, &port)) return RewriteResult::kNeighbourUnresolved;
  if (port >= context.port_count) return RewriteResult::kFailed;
  const bool has_ports = h.protocol == kUdp || h.protocol == kTcp;
  if ((flags & TD_FLAG_REWRITE_PORTS) != 0 && (!has_ports || h.end - h.l4 < 4)) return RewriteResult::kFailed;
  std::size_t channel = 0;
  uint32_t channel_value = 0;
  if ((flags & TD_FLAG_REWRITE_CHANNEL) != 0) {
    const uint32_t record = verdict.record >> 8;
    if (((verdict.tag >> 8) & 0xff) != TD_PROTOCOL_L2TP || record >= table.record_count) return RewriteResult::kFailed;
    channel = l2tp_channel(frame, h);
    if (channel == 0) return RewriteResult::kFailed;
    const uint32_t* words = table.records + static_cast<std::size_t>(record) * TD_RECORD_WORDS;
    channel_value = (verdict.tag & 0xff) == TD_TABLE_REVERSE ? words[TD_RECORD_VIRTUAL_CHANNEL] : words[TD_RECORD_SERVER_CHANNEL];
  }
  std::size_t checksum_field = 0;
  if (h.protocol == kUdp && h.end - h.l4 >= 8) checksum_field = h.l4 + 6;
  if (h.protocol == kTcp && h.end - h.l4 >= 18) checksum_field = h.l4 + 16;
  if (h.protocol == kIcmpv6 && h.end - h.l4 >= 4) checksum_field = h.l4 + 2;

  ChecksumChange l3;  // IPv4 header
  ChecksumChange l4;  // UDP, TCP, ICMPv6: pseudo-header and payload
  uint8_t* field = ip + (h.v6 ? ((flags & TD_FLAG_REWRITE_SOURCE) != 0 ? 8 : 24) : ((flags & TD_FLAG_REWRITE_SOURCE) != 0 ? 12 : 16));
  if (h.v6) {
    for (int w = 0; w < 4; w++) {
      l4.words32(load32(field + w * 4), address[w]);
      store32(field + w * 4, address[w]);
    }
  } else {
    const uint32_t before = load32(field);
    l3.words32(before, address[3]);
    l4.words32(before, address[3]);
    store32(field, address[3]);
  }
  if ((flags & TD_FLAG_REWRITE_PORTS) != 0) {
    const uint16_t source = static_cast<uint16_t>(verdict.ports >> 16);
    const uint16_t destination = static_cast<uint16_t>(verdict.ports);
    if (source != 0) {
      l4.word(load16(&frame[h.l4]), source);
      store16(&frame[h.l4], source);
    }
    if (destination != 0) {
      l4.word(load16(&frame[h.l4 + 2]), destination);
      store16(&frame[h.l4 + 2], destination);
    }
  }
  if (channel != 0) {
    // The header starts at an even offset of the segment and the field at an even one of the header.
    l4.word(load16(&frame[channel]), static_cast<uint16_t>(channel_value));
    store16(&frame[channel], channel_value);
  }
  if ((flags & TD_FLAG_DECREMENT_TTL) != 0) {
    if (!h.v6) l3.word(static_cast<uint16_t>((*ttl << 8) | ip[9]), static_cast<uint16_t>(((*ttl - 1) << 8) | ip[9]));
    *ttl = static_cast<uint8_t>(*ttl - 1);
  }
  if (!h.v6) store16(ip + 10, l3.apply(load16(ip + 10)));
  if (checksum_field != 0) {
    if (partial_checksum) {
      full_checksum(frame, h, checksum_field);
    } else {
      const uint16_t before = load16(&frame[checksum_field]);
      // UDP over IPv4: 0 is "none" and stays (RFC 768); a computed 0 is sent as 0xffff.
      if (!(h.protocol == kUdp && before == 0)) {
        uint16_t after = l4.apply(before);
        if (after == 0 && h.protocol == kUdp) after = 0xffff;
        store16(&frame[checksum_field], after);
      }
    }
  }
  std::memcpy(frame.data(), mac, 6);
  std::memcpy(frame.data() + 6, context.ports[port].mac, 6);

  auto* packets = reinterpret_cast<uint64_t*>(entry + TD_ENTRY_PACKETS);
  auto* bytes = reinterpret_cast<uint64_t*>(entry + TD_ENTRY_BYTES);
  std::atomic_ref<uint64_t>(*packets).fetch_add(1, std::memory_order_relaxed);
  std::atomic_ref<uint64_t>(*bytes).fetch_add(h.end - h.l3, std::memory_order_relaxed);
  if (entry[TD_ENTRY_LAST_SEEN] != context.now_seconds) {
    std::atomic_ref<uint32_t>(entry[TD_ENTRY_LAST_SEEN]).store(context.now_seconds, std::memory_order_relaxed);
  }
  *egress = port;
  return RewriteResult::kRewritten;
}

void rewrite_batch(const RewriteContext& context, std::span<uint8_t> frames, const Columns& columns, const Counters& counters, uint32_t first,
                   uint32_t count) noexcept {
  constexpr uint32_t kAhead = 8;  // entries of the next frames come from memory while this one is rewritten
  const uint32_t last = first + count;
  for (uint32_t i = first; i < last; i++) {
    if (i + kAhead < last) {
      const int32_t next = columns.verdict[i + kAhead];
      if (next >= 0 && static_cast<uint32_t>(next) < context.table.slot_count) {
        __builtin_prefetch(context.table.entries + static_cast<std::size_t>(next) * TD_ENTRY_WORDS, 1);
      }
    }
    const int32_t verdict = columns.verdict[i];
    if (verdict < 0) continue;
    const auto offset = static_cast<uint64_t>(static_cast<uint32_t>(columns.offset[i]));
    const auto length = static_cast<uint64_t>(static_cast<uint32_t>(columns.length[i]));
    RewriteResult result = RewriteResult::kFailed;
    if (columns.offset[i] >= 0 && columns.length[i] >= 0 && offset + length <= frames.size()) {
      result = rewrite(context, frames.subspan(offset, length), static_cast<uint32_t>(verdict), (columns.flags[i] & TD_FRAME_CHECKSUM_PARTIAL) != 0,
                       &columns.egress[i]);
    }
    columns.verdict[i] = result == RewriteResult::kRewritten ? TD_VERDICT_RAW : TD_VERDICT_DROP;
    switch (result) {
      case RewriteResult::kRewritten:
        break;
      case RewriteResult::kEntryChanged:
        counters.statistics[counters.entry_changed] += 1;
        break;
      case RewriteResult::kTtlExpired:
        counters.statistics[counters.ttl_expired] += 1;
        break;
      case RewriteResult::kNeighbourUnresolved:
        counters.statistics[counters.neighbour_unresolved] += 1;
        break;
      case RewriteResult::kFailed:
        counters.statistics[counters.rewrite_failed] += 1;
        break;
    }
  }
}

}  // namespace td
