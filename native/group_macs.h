// Virtual MACs of gateway groups: which are held here stands in the control words (layout.h, TD_GROUP_…).
#pragma once

#include <cstdint>
#include <initializer_list>

#include "layout.h"

namespace td {

/// `xdp`: TD_XDP_WORDS words that the main thread writes meanwhile, or null. `mac`: six bytes.
inline bool is_held(const uint32_t* xdp, const uint8_t* mac) noexcept {
  if (xdp == nullptr) return false;
  const uint32_t high = uint32_t{mac[0]} << 24 | uint32_t{mac[1]} << 16 | uint32_t{mac[2]} << 8 | mac[3];
  const auto once = [](const uint32_t& word) { return __atomic_load_n(&word, __ATOMIC_RELAXED); };
  for (const uint32_t group : {TD_GROUP_OUTSIDE, TD_GROUP_INSIDE}) {
    const uint32_t* g = xdp + group;
    if (once(g[TD_GROUP_MAC_HIGH]) != high || high == 0 || once(g[TD_GROUP_MAC_LOW]) != mac[4]) continue;
    if ((once(g[TD_GROUP_HELD + (mac[5] >> 5)]) >> (mac[5] & 31) & 1) != 0) return true;
  }
  return false;
}

}  // namespace td
