// VLAN tags that stand in the frame (IEEE 802.1Q): taken off and put on by moving the MAC addresses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "checksum.h"

namespace td {

constexpr std::size_t kMacsLength = 12;
constexpr std::size_t kTagLength = 4;
constexpr uint16_t kTagProtocol = 0x8100;
constexpr uint16_t kServiceTagProtocol = 0x88a8;

/// What the tag of a frame said.
struct VlanTag {
  bool present = false;
  bool service = false;  // IEEE 802.1ad: another number space
  uint16_t vlan = 0;
};

/// Takes the outermost tag off: the frame then begins kTagLength bytes later. `length` is that of the whole frame.
inline VlanTag strip_tag(uint8_t* frame, std::size_t length) noexcept {
  if (length < kMacsLength + kTagLength + 2) return {};
  const uint16_t protocol = load16(frame + kMacsLength);
  if (protocol != kTagProtocol && protocol != kServiceTagProtocol) return {};
  const VlanTag tag{true, protocol == kServiceTagProtocol,
                    static_cast<uint16_t>(load16(frame + kMacsLength + 2) & 0x0fff)};
  std::memmove(frame + kTagLength, frame, kMacsLength);
  return tag;
}

/// Puts a tag into the frame that begins kTagLength bytes after `room`; it begins at `room` then.
inline void put_tag(uint8_t* room, uint16_t vlan) noexcept {
  std::memmove(room, room + kTagLength, kMacsLength);
  store16(room + kMacsLength, kTagProtocol);
  store16(room + kMacsLength + 2, vlan);
}

}  // namespace td
