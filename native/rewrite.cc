#include "rewrite.h"

#include <atomic>
#include <cstring>

#include "checksum.h"

namespace td {
namespace {

constexpr std::size_t kEthernetLength = 14;
constexpr uint16_t kTypeIpv4 = 0x0800;
constexpr uint16_t kTypeIpv6 = 0x86dd;
constexpr std::size_t kIpv4Length = 20;
constexpr std::size_t kIpv6Length = 40;
constexpr std::size_t kUdpLength = 8;
constexpr uint8_t kHopByHop = 0;
constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;
constexpr uint8_t kRouting = 43;
constexpr uint8_t kFragment = 44;
constexpr uint8_t kIcmpv6 = 58;
constexpr uint8_t kDestinationOptions = 60;
constexpr unsigned kExtensionLimit = 8;

/// A word that other threads write. On x86-64 these are ordinary loads.
uint32_t load_word(const uint32_t* word, std::memory_order order = std::memory_order_relaxed) noexcept {
  return std::atomic_ref<uint32_t>(*const_cast<uint32_t*>(word)).load(order);
}

/// True while word 0 still has the even value `before`: nothing that was read in between has changed.
bool unchanged(const uint32_t* version, uint32_t before) noexcept {
  std::atomic_thread_fence(std::memory_order_acquire);
  return load_word(version) == before;
}

/// What an entry orders, copied under its version word.
struct Orders {
  uint32_t tag, target, ports, record, flags, channel;
  uint32_t other[4];      // full NAT: the other new address
  uint32_t other_family;  // 4 or 6; 0: there is none, or not this moment
};

/// Full NAT: the other new address is what another entry of the tunnel has as the client in its key. That entry is the
/// tunnel's as long as its record is, and the record is as long as the entry that brought us here does not change.
void read_other(const TableView& table, Orders& orders) noexcept {
  orders.other_family = 0;
  if (orders.record >= table.record_count) return;
  const uint32_t* record = table.records + std::size_t{orders.record} * TD_RECORD_WORDS;
  uint32_t found = 0;  // slot + 1
  if ((orders.flags & TD_FLAG_REWRITE_SOURCE) == 0) {
    found = load_word(record + TD_RECORD_ENTRY_ALIAS);
  } else {
    found = load_word(record + TD_RECORD_ENTRY_FORWARD);
    if (found == 0) found = load_word(record + TD_RECORD_ENTRY_HALF_OPEN);
  }
  if (found == 0 || found > table.slot_count) return;
  const uint32_t* entry = table.entries + std::size_t{found - 1} * TD_ENTRY_WORDS;
  const uint32_t before = load_word(entry + TD_ENTRY_VERSION, std::memory_order_acquire);
  const uint32_t owner = load_word(entry + TD_ENTRY_RECORD);
  for (std::size_t word = 0; word < 4; word++) orders.other[word] = load_word(entry + TD_ENTRY_CLIENT + word);
  if ((before & 1) != 0 || !unchanged(entry + TD_ENTRY_VERSION, before) || owner >> 8 != orders.record) return;
  orders.other_family = (owner & TD_FLAG_IPV4) != 0 ? 4 : 6;
}

bool read_orders(const TableView& table, const uint32_t* entry, Orders& out) noexcept {
  const uint32_t before = load_word(entry + TD_ENTRY_VERSION, std::memory_order_acquire);
  if ((before & 1) != 0) return false;
  out.tag = load_word(entry + TD_ENTRY_TAG);
  out.target = load_word(entry + TD_ENTRY_TARGET);
  out.ports = load_word(entry + TD_ENTRY_PORTS);
  out.record = load_word(entry + TD_ENTRY_RECORD) >> 8;
  out.flags = load_word(entry + TD_ENTRY_RECORD) & 0xff;
  out.channel = 0;
  if ((out.flags & TD_FLAG_REWRITE_CHANNEL) != 0 && out.record < table.record_count) {
    // Also before the version is looked at again: a record is given to another tunnel only after its entries are gone.
    const uint32_t word = (out.tag & 0xff) == TD_TABLE_REVERSE ? TD_RECORD_VIRTUAL_CHANNEL : TD_RECORD_SERVER_CHANNEL;
    out.channel = load_word(table.records + std::size_t{out.record} * TD_RECORD_WORDS + word);
  }
  if ((out.flags & TD_FLAG_REWRITE_BOTH) != 0) read_other(table, out);
  return unchanged(entry + TD_ENTRY_VERSION, before);
}

/// Destination MAC and port of a next hop; false when it is unresolved or being written.
bool read_next_hop(const uint32_t* hop, uint8_t mac[6], uint8_t& port) noexcept {
  const uint32_t before = load_word(hop + TD_NEXT_HOP_VERSION, std::memory_order_acquire);
  const uint32_t high = load_word(hop + TD_NEXT_HOP_MAC_HIGH);
  const uint32_t low = load_word(hop + TD_NEXT_HOP_MAC_LOW);
  if ((before & 1) != 0 || !unchanged(hop + TD_NEXT_HOP_VERSION, before)) return false;
  if ((low & 0xff) != TD_NEXT_HOP_STATE_RESOLVED) return false;
  store32(mac, high);
  store16(mac + 4, low >> 16);
  port = static_cast<uint8_t>(low >> 8);
  return true;
}

/// Where the headers of an IP packet lie, as byte offsets in the frame. `end` is that of the IP packet.
struct Headers {
  bool v6 = false;
  bool fragment = false;  // the first of several
  bool later = false;     // one of the others: there is no L4 header in it
  uint8_t protocol = 0;
  std::size_t l3 = kEthernetLength, l4 = 0, end = 0;
};

bool find_ipv4(std::span<const uint8_t> frame, Headers& h) noexcept {
  const uint8_t* ip = frame.data() + h.l3;
  const std::size_t room = frame.size() - h.l3;
  if (room < kIpv4Length || (ip[0] >> 4) != 4) return false;
  const std::size_t header = std::size_t{ip[0] & 15U} * 4;
  const std::size_t total = load16(ip + 2);
  if (header < kIpv4Length || total < header || total > room) return false;
  const uint16_t fragment = load16(ip + 6);
  h.later = (fragment & 0x1fff) != 0;
  h.fragment = (fragment & 0x3fff) != 0;
  h.protocol = ip[9];
  h.l4 = h.l3 + header;
  h.end = h.l3 + total;
  return true;
}

bool find_ipv6(std::span<const uint8_t> frame, Headers& h) noexcept {
  const uint8_t* ip = frame.data() + h.l3;
  const std::size_t room = frame.size() - h.l3;
  if (room < kIpv6Length || (ip[0] >> 4) != 6) return false;
  h.v6 = true;
  h.end = h.l3 + kIpv6Length + load16(ip + 4);
  if (h.end > frame.size()) return false;
  h.protocol = ip[6];
  h.l4 = h.l3 + kIpv6Length;
  for (unsigned n = 0;; n++) {
    const bool options = h.protocol == kHopByHop || h.protocol == kRouting || h.protocol == kDestinationOptions;
    if (!options && h.protocol != kFragment) return true;
    if (n == kExtensionLimit || h.end - h.l4 < 8) return false;
    const uint8_t* extension = frame.data() + h.l4;
    if (h.protocol == kFragment) {
      const uint16_t fragment = load16(extension + 2);
      h.later = (fragment & 0xfff8) != 0;
      h.fragment = (fragment & 0xfff9) != 0;
      if (h.later) {
        h.protocol = extension[0];
        h.l4 += 8;
        return true;
      }
    } else if (h.protocol == kRouting && extension[3] != 0) {
      // Segments are left: the destination is a stop on the way, and the checksum covers another one (RFC 8200 §8.1).
      return false;
    }
    const std::size_t length = options ? (std::size_t{extension[1]} + 1) * 8 : 8;
    if (length > h.end - h.l4) return false;
    h.protocol = extension[0];
    h.l4 += length;
  }
}

bool find_headers(std::span<const uint8_t> frame, Headers& h) noexcept {
  if (frame.size() < kEthernetLength) return false;
  switch (load16(frame.data() + 12)) {
    case kTypeIpv4:
      return find_ipv4(frame, h);
    case kTypeIpv6:
      return find_ipv6(frame, h);
    default:
      return false;
  }
}

/// The L4 header: where its checksum stands, and where what the checksum covers ends.
struct Transport {
  std::size_t checksum = 0;  // 0: a protocol whose checksum does not cover addresses, or none that is known
  std::size_t end = 0;
};

/// False when the header is cut or its length lies: such a packet cannot be rewritten rightly.
bool find_transport(std::span<const uint8_t> frame, const Headers& h, Transport& t) noexcept {
  const std::size_t room = h.end - h.l4;
  t.end = h.end;
  if (h.later) return true;
  switch (h.protocol) {
    case kUdp: {
      if (room < kUdpLength) return false;
      t.checksum = h.l4 + 6;
      if (h.fragment) return true;  // the length is that of the whole datagram
      const std::size_t length = load16(frame.data() + h.l4 + 4);
      if (length < kUdpLength || length > room) return false;
      t.end = h.l4 + length;
      return true;
    }
    case kTcp:
      t.checksum = h.l4 + 16;
      return room >= 20;
    case kIcmpv6:
      if (!h.v6) return true;
      t.checksum = h.l4 + 2;
      return room >= 4;
    default:
      return true;
  }
}

/// Byte offset, in the frame, of the L2TPv2 tunnel id (RFC 2661 §3.1: behind the length where the L bit is set), or 0.
std::size_t l2tp_channel(std::span<const uint8_t> frame, const Headers& h, const Transport& t) noexcept {
  if (h.protocol != kUdp) return 0;
  const std::size_t message = h.l4 + kUdpLength;
  if (t.end - message < 4 || (frame[message + 1] & 0x0f) != 2) return 0;
  const std::size_t at = message + ((frame[message] & 0x40) != 0 ? 4 : 2);
  return at + 2 <= t.end ? at : 0;
}

/// Writes the L4 checksum anew over the whole segment.
void full_checksum(std::span<uint8_t> frame, const Headers& h, const Transport& t) noexcept {
  uint8_t* ip = frame.data() + h.l3;
  uint8_t* field = frame.data() + t.checksum;
  const std::size_t length = t.end - h.l4;
  uint64_t sum = h.v6 ? sum_bytes(ip + 8, 32) : sum_bytes(ip + 12, 8);
  sum += uint64_t{h.protocol} + length;
  store16(field, 0);
  sum += sum_bytes(frame.data() + h.l4, length);
  const auto checksum = static_cast<uint16_t>(~fold(sum));
  store16(field, h.protocol == kUdp && checksum == 0 ? 0xffff : checksum);  // 0 would mean "none sent" (RFC 768)
}

/// Brings an L4 checksum up to date with `change`.
void update_checksum(uint8_t* field, uint8_t protocol, const ChecksumChange& change) noexcept {
  const uint16_t before = load16(field);
  // UDP: 0 is "none" over IPv4 (RFC 768) and, for tunnels, over IPv6 (RFC 6935), and stays; a computed 0 is sent as
  // 0xffff.
  if (protocol == kUdp && before == 0) return;
  const uint16_t after = change.apply(before);
  store16(field, protocol == kUdp && after == 0 ? 0xffff : after);
}

void count(uint32_t* entry, std::size_t length, uint32_t now) noexcept {
  auto* packets = reinterpret_cast<uint64_t*>(entry + TD_ENTRY_PACKETS);
  auto* bytes = reinterpret_cast<uint64_t*>(entry + TD_ENTRY_BYTES);
  std::atomic_ref<uint64_t>(*packets).fetch_add(1, std::memory_order_relaxed);
  std::atomic_ref<uint64_t>(*bytes).fetch_add(length, std::memory_order_relaxed);
  if (load_word(entry + TD_ENTRY_LAST_SEEN) != now) {
    std::atomic_ref<uint32_t>(entry[TD_ENTRY_LAST_SEEN]).store(now, std::memory_order_relaxed);
  }
}

}  // namespace

RewriteResult rewrite(const RewriteContext& context, std::span<uint8_t> frame, uint32_t slot, bool partial_checksum,
                      uint8_t* egress) noexcept {
  const TableView& table = context.table;
  if (slot >= table.slot_count) return RewriteResult::kFailed;
  uint32_t* entry = table.entries + std::size_t{slot} * TD_ENTRY_WORDS;
  Orders orders{};
  if (!read_orders(table, entry, orders)) return RewriteResult::kEntryChanged;
  // The shard drops what is denied; here it can only have been denied since.
  if ((orders.flags & TD_FLAG_DENIED) != 0) return RewriteResult::kEntryChanged;

  // Everything that can fail comes before the first byte changes.
  Headers h;
  Transport t;
  if (!find_headers(frame, h) || !find_transport(frame, h, t)) return RewriteResult::kFailed;
  if (partial_checksum && h.fragment) return RewriteResult::kFailed;  // the rest that it would cover is not here
  const uint32_t address_index = orders.target >> 16;
  if (address_index >= TD_ADDRESS_LIMIT) return RewriteResult::kFailed;
  const uint32_t* address = table.addresses + std::size_t{address_index} * TD_ADDRESS_WORDS;
  const uint32_t family = h.v6 ? 6 : 4;
  if (load_word(address + TD_ADDRESS_FAMILY) != family) return RewriteResult::kFailed;
  const bool both = (orders.flags & TD_FLAG_REWRITE_BOTH) != 0;
  if (both && orders.other_family != family) {
    // The entry that has it is being written, or gone, as the tunnel itself will be.
    return orders.other_family == 0 ? RewriteResult::kEntryChanged : RewriteResult::kFailed;
  }
  // Ports, channel and checksum stand in the first fragment alone. That the others belong to it the shard has found
  // out.
  const bool rewrites_ports = !h.later && (orders.flags & TD_FLAG_REWRITE_PORTS) != 0;
  if (rewrites_ports && h.protocol != kUdp && h.protocol != kTcp) return RewriteResult::kFailed;
  std::size_t channel = 0;
  if (!h.later && (orders.flags & TD_FLAG_REWRITE_CHANNEL) != 0) {
    if (((orders.tag >> 8) & 0xff) != TD_PROTOCOL_L2TP || orders.record >= table.record_count) {
      return RewriteResult::kFailed;
    }
    channel = l2tp_channel(frame, h, t);
    if (channel == 0) return RewriteResult::kFailed;
  }
  uint8_t* ip = frame.data() + h.l3;
  uint8_t* ttl = ip + (h.v6 ? 7 : 8);
  const bool decrements = (orders.flags & TD_FLAG_DECREMENT_TTL) != 0;
  if (decrements && *ttl <= 1) return RewriteResult::kTtlExpired;
  uint8_t mac[6];
  uint8_t port = 0;
  const uint32_t hop_index = orders.target & 0xffff;
  if (!read_next_hop(table.next_hops + std::size_t{hop_index} * TD_NEXT_HOP_WORDS, mac, port)) {
    return RewriteResult::kNeighbourUnresolved;
  }
  if (port >= context.port_count) return RewriteResult::kFailed;

  ChecksumChange l3;  // IPv4 header
  ChecksumChange l4;  // pseudo-header and segment
  const bool source = (orders.flags & TD_FLAG_REWRITE_SOURCE) != 0;
  if (h.v6) {
    uint8_t* field = ip + (source ? 8 : 24);
    for (std::size_t word = 0; word < 4; word++, field += 4) {
      const uint32_t after = load_word(address + word);
      l4.words32(load32(field), after);
      store32(field, after);
    }
  } else {
    uint8_t* field = ip + (source ? 12 : 16);
    const uint32_t before = load32(field);
    const uint32_t after = load_word(address + 3);
    l3.words32(before, after);
    l4.words32(before, after);
    store32(field, after);
  }
  if (both) {
    uint8_t* field = ip + (h.v6 ? (source ? 24 : 8) : (source ? 16 : 12));
    for (std::size_t word = h.v6 ? 0 : 3; word < 4; word++, field += 4) {
      const uint32_t before = load32(field);
      if (!h.v6) l3.words32(before, orders.other[word]);
      l4.words32(before, orders.other[word]);
      store32(field, orders.other[word]);
    }
  }
  if (rewrites_ports) {
    // A port of 0 in the entry means: leave that one.
    uint8_t* ports = frame.data() + h.l4;
    const uint32_t before = load32(ports);
    uint32_t after = orders.ports;
    if ((after >> 16) == 0) after |= before & 0xffff0000;
    if ((after & 0xffff) == 0) after |= before & 0xffff;
    l4.words32(before, after);
    store32(ports, after);
  }
  if (channel != 0) {
    // At an even offset of the segment, so it is one word of the checksum.
    uint8_t* field = frame.data() + channel;
    l4.word(load16(field), static_cast<uint16_t>(orders.channel));
    store16(field, orders.channel);
  }
  if (decrements) {
    if (!h.v6) {
      const uint16_t before = load16(ttl);  // with the protocol behind it
      l3.word(before, static_cast<uint16_t>(before - 0x100));
    }
    *ttl = static_cast<uint8_t>(*ttl - 1);
  }
  if (!h.v6) store16(ip + 10, l3.apply(load16(ip + 10)));
  if (t.checksum != 0) {
    if (partial_checksum) {
      full_checksum(frame, h, t);
    } else {
      update_checksum(frame.data() + t.checksum, h.protocol, l4);
    }
  }
  std::memcpy(frame.data(), mac, 6);
  std::memcpy(frame.data() + 6, context.ports[port].mac, 6);
  count(entry, h.end - h.l3, context.now_seconds);
  *egress = port;
  return RewriteResult::kRewritten;
}

void rewrite_batch(const RewriteContext& context, std::span<uint8_t> frames, const Columns& columns,
                   const Counters& counters, uint32_t first, uint32_t count) noexcept {
  // How many frames ahead an entry is fetched: about what passes while memory answers once.
  constexpr uint32_t kAhead = 8;
  const TableView& table = context.table;
  const auto fetch = [&](uint32_t i) {
    const int32_t slot = columns.verdict[i];
    if (slot < 0 || static_cast<uint32_t>(slot) >= table.slot_count) return;
    __builtin_prefetch(table.entries + static_cast<std::size_t>(slot) * TD_ENTRY_WORDS, 1);
  };
  if (first >= TD_COLUMN_LENGTH) return;
  const uint32_t last = count < TD_COLUMN_LENGTH - first ? first + count : TD_COLUMN_LENGTH;
  for (uint32_t i = first; i < last && i < first + kAhead; i++) fetch(i);
  for (uint32_t i = first; i < last; i++) {
    if (i + kAhead < last) fetch(i + kAhead);
    const int32_t verdict = columns.verdict[i];
    if (verdict < 0) continue;
    const int32_t offset = columns.offset[i];
    const int32_t length = columns.length[i];
    RewriteResult result = RewriteResult::kFailed;
    if (offset >= 0 && length >= 0 &&
        static_cast<std::size_t>(offset) + static_cast<std::size_t>(length) <= frames.size()) {
      const bool partial = (columns.flags[i] & TD_FRAME_CHECKSUM_PARTIAL) != 0;
      result = rewrite(context, frames.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(length)),
                       static_cast<uint32_t>(verdict), partial, &columns.egress[i]);
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
