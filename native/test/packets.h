// Frames for the native tests, and a second opinion on checksums: everything here is written plainly and shares no code
// with the core.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../layout.h"
#include "../rewrite.h"

namespace packets {

using Bytes = std::vector<uint8_t>;

inline void put16(uint8_t* at, uint32_t value) {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}
inline void put32(uint8_t* at, uint32_t value) {
  put16(at, value >> 16);
  put16(at + 2, value);
}
inline uint32_t get16(const uint8_t* at) { return static_cast<uint32_t>(at[0] * 256 + at[1]); }
inline uint32_t get32(const uint8_t* at) { return (get16(at) << 16) | get16(at + 2); }

/// RFC 1071, byte by byte.
inline uint32_t plain_sum(const uint8_t* at, std::size_t length, uint32_t sum = 0) {
  for (std::size_t i = 0; i < length; i++) {
    sum += i % 2 == 0 ? static_cast<uint32_t>(at[i]) << 8 : at[i];
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

/// Where things lie, as whoever built the frame knows.
struct Shape {
  bool v6 = false;
  uint8_t protocol = 17;
  std::size_t l3 = 14, l4 = 34, end = 34;  // end of what the L4 checksum covers
  std::size_t checksum = 0;                // offset of the L4 checksum, 0 none
};

inline uint32_t pseudo_sum(const uint8_t* frame, const Shape& s) {
  const std::size_t length = s.end - s.l4;
  uint32_t sum = s.v6 ? plain_sum(frame + s.l3 + 8, 32) : plain_sum(frame + s.l3 + 12, 8);
  const uint8_t tail[6] = {static_cast<uint8_t>(length >> 24),
                           static_cast<uint8_t>(length >> 16),
                           static_cast<uint8_t>(length >> 8),
                           static_cast<uint8_t>(length),
                           0,
                           s.protocol};
  return plain_sum(tail, 6, sum);
}
inline bool l4_valid(const uint8_t* frame, const Shape& s) {
  return plain_sum(frame + s.l4, s.end - s.l4, pseudo_sum(frame, s)) == 0xffff;
}
inline bool l3_valid(const uint8_t* frame, const Shape& s) {
  return s.v6 || plain_sum(frame + s.l3, static_cast<std::size_t>(frame[s.l3] & 15) * 4) == 0xffff;
}
/// Sets the L4 checksum right; UDP sends 0xffff for 0.
inline void set_l4(uint8_t* frame, const Shape& s) {
  put16(frame + s.checksum, 0);
  uint32_t checksum = 0xffff - plain_sum(frame + s.l4, s.end - s.l4, pseudo_sum(frame, s));
  if (checksum == 0 && s.protocol == 17) checksum = 0xffff;
  put16(frame + s.checksum, checksum);
}
inline void set_l3(uint8_t* frame, const Shape& s) {
  if (s.v6) return;
  put16(frame + s.l3 + 10, 0);
  put16(frame + s.l3 + 10, 0xffff - plain_sum(frame + s.l3, static_cast<std::size_t>(frame[s.l3] & 15) * 4));
}

struct Udp {
  uint32_t source = 0xc0800a05, destination = 0xc8c86401;  // 192.128.10.5 → 200.200.100.1
  uint16_t source_port = 1701, destination_port = 1701;
  uint8_t ttl = 64;
  std::size_t options = 0;  // bytes of IPv4 options
};

/// An Ethernet frame with IPv4, UDP and `payload`.
inline Bytes udp4(const Bytes& payload, const Udp& u, Shape& s) {
  s = Shape{};
  s.l4 = 14 + 20 + u.options;
  s.end = s.l4 + 8 + payload.size();
  s.checksum = s.l4 + 6;
  Bytes f(s.end);
  for (std::size_t i = 0; i < 12; i++) f[i] = static_cast<uint8_t>(0xa0 + i);
  put16(&f[12], 0x0800);
  f[14] = static_cast<uint8_t>(0x40 | ((20 + u.options) / 4));
  put16(&f[16], static_cast<uint32_t>(s.end - 14));
  f[22] = u.ttl;
  f[23] = 17;
  put32(&f[26], u.source);
  put32(&f[30], u.destination);
  for (std::size_t i = 0; i < u.options; i++) f[34 + i] = 1;  // no operation
  put16(&f[s.l4], u.source_port);
  put16(&f[s.l4 + 2], u.destination_port);
  put16(&f[s.l4 + 4], static_cast<uint32_t>(8 + payload.size()));
  std::copy(payload.begin(), payload.end(), f.begin() + static_cast<std::ptrdiff_t>(s.l4) + 8);
  set_l3(f.data(), s);
  set_l4(f.data(), s);
  return f;
}

/// An Ethernet frame with IPv6, `extensions` (whole headers, in order, the first of number `first`) and a UDP datagram.
inline Bytes udp6(const Bytes& payload, const Bytes& extensions, uint8_t first, Shape& s) {
  s = Shape{};
  s.v6 = true;
  s.l4 = 14 + 40 + extensions.size();
  s.end = s.l4 + 8 + payload.size();
  s.checksum = s.l4 + 6;
  Bytes f(s.end);
  put16(&f[12], 0x86dd);
  f[14] = 0x60;
  put16(&f[18], static_cast<uint32_t>(s.end - 54));
  f[20] = extensions.empty() ? 17 : first;
  f[21] = 64;
  for (std::size_t i = 0; i < 32; i++) f[22 + i] = static_cast<uint8_t>(0x20 + i);
  std::copy(extensions.begin(), extensions.end(), f.begin() + 54);
  put16(&f[s.l4], 1701);
  put16(&f[s.l4 + 2], 1701);
  put16(&f[s.l4 + 4], static_cast<uint32_t>(8 + payload.size()));
  std::copy(payload.begin(), payload.end(), f.begin() + static_cast<std::ptrdiff_t>(s.l4) + 8);
  set_l4(f.data(), s);
  return f;
}

/// A small table: address 0 free, 1 is 10.10.1.1, 2 is 2001:db8::1; next hop 1 resolved on port 1, hop 2 unresolved.
struct Table {
  static constexpr uint32_t kSlots = 4;
  static constexpr uint32_t kRecords = 4;
  alignas(64) uint32_t entries[kSlots * TD_ENTRY_WORDS] = {};
  uint32_t records[kRecords * TD_RECORD_WORDS] = {};
  std::vector<uint32_t> addresses = std::vector<uint32_t>(TD_ADDRESS_LIMIT * TD_ADDRESS_WORDS);
  std::vector<uint32_t> next_hops = std::vector<uint32_t>(TD_NEXT_HOP_LIMIT * TD_NEXT_HOP_WORDS);
  td::PortView ports[2] = {{{2, 0, 0, 0, 0, 0xaa}, 0, 0}, {{2, 0, 0, 0, 0, 0xbb}, 0, 0}};

  Table() {
    address(1, 0, 0, 0xffff, 0x0a0a0101, 4);
    address(2, 0x20010db8, 0, 0, 1, 6);
    hop(1, 0x02112233, 0x4455, 1, TD_NEXT_HOP_STATE_RESOLVED);
    hop(2, 0, 0, 1, TD_NEXT_HOP_STATE_UNRESOLVED);
  }
  void address(uint32_t index, uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t family) {
    uint32_t* at = &addresses[index * TD_ADDRESS_WORDS];
    at[0] = a0;
    at[1] = a1;
    at[2] = a2;
    at[3] = a3;
    at[TD_ADDRESS_FAMILY] = family;
  }
  void hop(uint32_t index, uint32_t high, uint32_t low, uint32_t port, uint32_t state) {
    uint32_t* at = &next_hops[index * TD_NEXT_HOP_WORDS];
    at[TD_NEXT_HOP_MAC_HIGH] = high;
    at[TD_NEXT_HOP_MAC_LOW] = (low << 16) | (port << 8) | state;
  }
  uint32_t* entry(uint32_t slot) { return &entries[slot * TD_ENTRY_WORDS]; }
  void set(uint32_t slot, uint32_t flags, uint32_t address_index, uint32_t hop_index, uint32_t new_ports = 0,
           uint32_t kind = TD_TABLE_FORWARD, uint32_t record = 0) {
    uint32_t* e = entry(slot);
    e[TD_ENTRY_TAG] = (1U << 16) | (TD_PROTOCOL_L2TP << 8) | kind;
    e[TD_ENTRY_TARGET] = (address_index << 16) | hop_index;
    e[TD_ENTRY_PORTS] = new_ports;
    e[TD_ENTRY_RECORD] = (record << 8) | flags;
  }
  /// Another entry of the record, with this client in its key: full NAT takes the other address from there.
  void other(uint32_t slot, uint32_t record, uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3) {
    uint32_t* e = entry(slot);
    const bool ipv4 = a0 == 0 && a1 == 0 && a2 == 0xffff;
    e[TD_ENTRY_CLIENT] = a0;
    e[TD_ENTRY_CLIENT + 1] = a1;
    e[TD_ENTRY_CLIENT + 2] = a2;
    e[TD_ENTRY_CLIENT + 3] = a3;
    e[TD_ENTRY_RECORD] = (record << 8) | (ipv4 ? TD_FLAG_IPV4 : 0);
  }
  uint32_t& word(uint32_t record, uint32_t at) { return records[record * TD_RECORD_WORDS + at]; }
  uint64_t counter(uint32_t slot, uint32_t word) {
    uint64_t value = 0;
    std::memcpy(&value, entry(slot) + word, 8);
    return value;
  }
  td::RewriteContext context(uint32_t now = 100) {
    td::TableView view;
    view.entries = entries;
    view.slot_count = kSlots;
    view.records = records;
    view.record_count = kRecords;
    view.addresses = addresses.data();
    view.next_hops = next_hops.data();
    return {view, ports, 2, now};
  }
};

}  // namespace packets
