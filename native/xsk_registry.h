// The process's AF_XDP socket sets by number: the main thread makes one, shards in other threads find it.
#pragma once

#include <cstdint>
#include <memory>

#include "xsk_set.h"

namespace td {

/// Never 0.
uint32_t register_xsk_set(std::shared_ptr<XskSet> set);
/// Empty when there is none of that number.
std::shared_ptr<XskSet> find_xsk_set(uint32_t handle);
/// Its rings find themselves closed at their next turn.
void forget_xsk_set(uint32_t handle);

}  // namespace td
