// Reading XskRingOptions (src/io/native.ts): what the bindings of the ring and of the forwarding twin share.
#pragma once

#include <memory>
#include <utility>

#include "bind_ring_options.h"
#include "xsk_registry.h"
#include "xsk_ring.h"

namespace td {

/// Everything but table, counters and clock. Throws SystemError EBADF when there is no such set.
inline std::unique_ptr<XskRing> open_xsk_ring(const Napi::Object& options) {
  std::shared_ptr<XskSet> set = find_xsk_set(number(options, "handle"));
  if (set == nullptr) throw SystemError{"the AF_XDP sockets of that handle", EBADF};
  XskRingOptions wanted;
  wanted.shard = number(options, "shard", set->shards() - 1);
  wanted.ports = read_ports(options, static_cast<uint32_t>(set->devices().size()));
  wanted.spin_micros = number_if_given(options, "spinMicros", kSpinMicros, kSpinLimitMicros);
  wanted.wake_fd = number_or(options, "wakeFd", -1);
  return std::make_unique<XskRing>(std::move(set), wanted);
}

}  // namespace td
