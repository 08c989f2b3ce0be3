#include "xsk_registry.h"

#include <map>
#include <mutex>

namespace td {
namespace {

struct Registry {
  std::mutex mutex;
  uint32_t last = 0;
  std::map<uint32_t, std::shared_ptr<XskSet>> sets;
};

/// Never destroyed: threads may outlive the end of main.
Registry& registry() {
  static auto* all = new Registry;
  return *all;
}

}  // namespace

uint32_t register_xsk_set(std::shared_ptr<XskSet> set) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  all.sets.emplace(++all.last, std::move(set));
  return all.last;
}

std::shared_ptr<XskSet> find_xsk_set(uint32_t handle) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const auto found = all.sets.find(handle);
  return found == all.sets.end() ? nullptr : found->second;
}

void forget_xsk_set(uint32_t handle) {
  std::shared_ptr<XskSet> set;  // its end, which may be here, is outside of the lock
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const auto found = all.sets.find(handle);
  if (found == all.sets.end()) return;
  set = std::move(found->second);
  set->shut();
  all.sets.erase(found);
}

}  // namespace td
