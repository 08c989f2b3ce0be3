// Internet checksums (RFC 1071) and their incremental update (RFC 1624 eqn. 3), and the loads and stores of
// network-order fields that go with them. Values are numbers that the network-order bytes spell.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace td {

inline uint16_t load16(const uint8_t* p) noexcept { return static_cast<uint16_t>((p[0] << 8) | p[1]); }
inline uint32_t load32(const uint8_t* p) noexcept {
  return (static_cast<uint32_t>(p[0]) << 24) | (static_cast<uint32_t>(p[1]) << 16) |
         (static_cast<uint32_t>(p[2]) << 8) | p[3];
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

/// Ends a ones' complement sum: carries come back in at the low end until none is left.
inline uint16_t fold(uint64_t sum) noexcept {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>((sum & 0xffff) + (sum >> 16));
}

/// Ones' complement sum of a region, folded; an odd last byte counts as if a zero followed. The region starts at an
/// even offset of what the checksum covers.
inline uint16_t sum_bytes(const uint8_t* p, std::size_t length) noexcept {
  // The sum is the same in either byte order but for the order of its own bytes (RFC 1071 §2.B), so whole words are
  // added as the machine has them and the result is turned once.
  uint64_t sum = 0;
  for (; length >= 4; length -= 4, p += 4) {
    uint32_t word = 0;
    std::memcpy(&word, p, 4);
    sum += word;
  }
  if (length >= 2) {
    uint16_t word = 0;
    std::memcpy(&word, p, 2);
    sum += word;
    p += 2;
    length -= 2;
  }
  if (length != 0) {
    const uint8_t last[2] = {p[0], 0};
    uint16_t word = 0;
    std::memcpy(&word, last, 2);
    sum += word;
  }
  const uint16_t folded = fold(sum);
  if constexpr (std::endian::native == std::endian::big) return folded;
  return static_cast<uint16_t>((folded << 8) | (folded >> 8));
}

/// Collects changes of 16-bit words and applies them to a checksum once.
class ChecksumChange {
 public:
  void word(uint16_t before, uint16_t after) noexcept { delta_ += static_cast<uint16_t>(~before) + uint32_t{after}; }
  void words32(uint32_t before, uint32_t after) noexcept {
    word(static_cast<uint16_t>(before >> 16), static_cast<uint16_t>(after >> 16));
    word(static_cast<uint16_t>(before), static_cast<uint16_t>(after));
  }
  // RFC 1624 eqn. 3: HC' = ~(~HC + ~m + m'). Not RFC 1141's form, which can turn 0xffff into 0x0000.
  [[nodiscard]] uint16_t apply(uint16_t checksum) const noexcept {
    return static_cast<uint16_t>(~fold(delta_ + static_cast<uint16_t>(~checksum)));
  }

 private:
  uint64_t delta_ = 0;
};

}  // namespace td
