// Internet checksums (RFC 1071) and their incremental update (RFC 1624 eqn. 3). Values are in host order, as numbers that
// the network-order bytes spell.
#pragma once

#include <cstddef>
#include <cstdint>

namespace td {

inline uint16_t load16(const uint8_t* p) noexcept { return static_cast<uint16_t>((p[0] << 8) | p[1]); }
inline uint32_t load32(const uint8_t* p) noexcept {
  return (static_cast<uint32_t>(p[0]) << 24) | (static_cast<uint32_t>(p[1]) << 16) | (static_cast<uint32_t>(p[2]) << 8) | p[3];
}
inline void store16(uint8_t* p, uint32_t v) noexcept {
  p[0] = static_cast<uint8_t>(v >> 8);
  p[1] = static_cast<uint8_t>(v);
}
inline void store32(uint8_t* p, uint32_t v) noexcept {
  p[0] = static_cast<uint8_t>(v >> 24);
  p[1] = static_cast<uint8_t>(v >> 16);
  p[2] = static_cast<uint8_t>(v >> 8);
  p[3] = static_cast<uint8_t>(v);
}

inline uint16_t fold(uint32_t sum) noexcept {
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>((sum & 0xffff) + (sum >> 16));
}

/// Ones' complement sum of a region; an odd last byte counts as if a zero followed.
inline uint32_t sum_bytes(const uint8_t* p, std::size_t length, uint32_t sum) noexcept {
  uint64_t wide = sum;
  for (; length >= 2; length -= 2, p += 2) wide += load16(p);
  if (length != 0) wide += static_cast<uint32_t>(p[0]) << 8;
  while ((wide >> 16) != 0) wide = (wide & 0xffff) + (wide >> 16);
  return static_cast<uint32_t>(wide);
}

/// Collects changes of 16-bit words and applies them to a checksum once.
class ChecksumChange {
 public:
  void word(uint16_t before, uint16_t after) noexcept { delta_ += static_cast<uint32_t>(static_cast<uint16_t>(~before)) + after; }
  void words32(uint32_t before, uint32_t after) noexcept {
    word(static_cast<uint16_t>(before >> 16), static_cast<uint16_t>(after >> 16));
    word(static_cast<uint16_t>(before), static_cast<uint16_t>(after));
  }
  // RFC 1624 eqn. 3: HC' = ~(~HC + ~m + m'). Not RFC 1141's form, which can turn 0xffff into 0x0000.
  [[nodiscard]] uint16_t apply(uint16_t checksum) const noexcept {
    uint64_t sum = static_cast<uint64_t>(static_cast<uint16_t>(~checksum)) + delta_;
    while ((sum >> 16) != 0) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<uint16_t>(~sum);
  }

 private:
  uint64_t delta_ = 0;
};

}  // namespace td
