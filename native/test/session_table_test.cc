#include "../session_table.h"

#include <vector>

#include "../checksum.h"
#include "check.h"

using namespace td;

namespace {

constexpr uint32_t kSessions = 4, kRoutes = 4, kSlots = 64, kSeed = 77;

/// What the main thread would have written.
struct Memory {
  std::vector<uint64_t> words;
  PlaneOffsets offsets;
  PlaneView view;

  Memory() {
    std::size_t at = 4096;
    const auto segment = [&](std::size_t length) {
      const std::size_t start = at;
      at += (length + 4095) & ~std::size_t{4095};
      return start;
    };
    offsets.sockets = segment(TD_PLANE_SOCKET_LIMIT * TD_SOCKET_LENGTH);
    offsets.calls = segment(kSessions * TD_CALL_LENGTH);
    offsets.route_rows = segment(kRoutes * TD_ROUTE_LENGTH);
    offsets.index = segment(kSlots * 8);
    offsets.counts = segment(kSessions * TD_COUNT_LENGTH);
    offsets.statistics = segment(TD_STATISTIC_LIMIT * 8);
    offsets.rings = segment(TD_PUNT_STRIDE);
    words.resize(at / 8 + 8);
    uint32_t* header = word(0);
    header[TD_PLANE_LAYOUT_VERSION] = TD_MEMORY_VERSION;
    header[TD_PLANE_SESSIONS] = kSessions;
    header[TD_PLANE_ROUTES] = kRoutes;
    header[TD_PLANE_INDEX_SLOTS] = kSlots;
    header[TD_PLANE_WORKERS] = 1;
    header[TD_PLANE_SEED] = kSeed;
    header[TD_PLANE_MAGIC] = TD_MEMORY_MAGIC;
  }
  [[nodiscard]] std::span<uint8_t> bytes() {
    // A mapping begins at a page; a vector does not.
    auto* base = reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(words.data()) + 63) & ~uintptr_t{63});
    return {base, words.size() * 8 - 64};
  }
  uint32_t* word(std::size_t offset) { return reinterpret_cast<uint32_t*>(bytes().data() + offset); }
  uint32_t* call(uint32_t slot) { return word(offsets.calls + std::size_t{slot} * TD_CALL_LENGTH); }

  void enter(uint32_t kind, const std::vector<uint32_t>& key, uint32_t place) {
    const uint32_t hash = index_hash(kSeed, kind, key.data(), static_cast<uint32_t>(key.size()));
    for (uint32_t step = 0;; step++) {
      uint32_t* slot = word(offsets.index) + std::size_t{(hash + step) % kSlots} * 2;
      if (slot[1] != 0) continue;
      slot[0] = hash;
      slot[1] = kind << 28 | (place + 2);
      return;
    }
  }
};

}  // namespace

TEST(memory_of_another_kind_is_refused) {
  Memory memory;
  PlaneView view;
  CHECK(view.open(memory.bytes(), memory.offsets));
  CHECK(!view.open(memory.bytes().first(4096), memory.offsets));
  PlaneOffsets shifted = memory.offsets;
  shifted.rings = memory.bytes().size();
  CHECK(!view.open(memory.bytes(), shifted));
  memory.word(0)[TD_PLANE_INDEX_SLOTS] = 63;
  CHECK(!view.open(memory.bytes(), memory.offsets));
  memory.word(0)[TD_PLANE_INDEX_SLOTS] = kSlots;
  memory.word(0)[TD_PLANE_MAGIC] = 1;
  CHECK(!view.open(memory.bytes(), memory.offsets));
}

TEST(sessions_are_found_by_all_that_leads_to_them) {
  Memory memory;
  CHECK(memory.view.open(memory.bytes(), memory.offsets));
  const uint32_t flags = TD_CALL_FLAG_TUNNEL | TD_CALL_FLAG_ACCESS;
  uint32_t* call = memory.call(2);
  call[TD_CALL_KIND] = flags << 8 | TD_CALL_STATE_FORWARD << 4 | TD_CALL_KIND_LNS;
  call[TD_CALL_LOCAL_IDS] = 0x00070003;
  call[TD_CALL_ACCESS] = 0x00010055;
  call[TD_CALL_ADDRESS] = 0x0a3c0065;
  call[TD_CALL_PREFIX] = 0xfd600000;
  call[TD_CALL_PREFIX + 1] = 3;
  memory.enter(TD_REFERENCE_TUNNEL, {0x00070003}, 2);
  memory.enter(TD_REFERENCE_ACCESS, {0x00010055}, 2);
  memory.enter(TD_REFERENCE_ADDRESS, {0x0a3c0065}, 2);
  memory.enter(TD_REFERENCE_PREFIX, {0xfd600000, 3}, 2);
  uint32_t* route = memory.word(memory.offsets.route_rows + TD_ROUTE_LENGTH);
  route[TD_ROUTE_ADDRESS + 2] = 0xffff;
  route[TD_ROUTE_ADDRESS + 3] = 0xc0a80700;
  route[TD_ROUTE_BITS] = 120;
  route[TD_ROUTE_SLOT] = 2;
  memory.enter(TD_REFERENCE_ROUTE, {120, 0, 0, 0xffff, 0xc0a80700}, 1);
  memory.word(0)[TD_PLANE_LENGTHS4] = 1U << 24 | 1U << 8;

  Call found;
  CHECK_EQ(memory.view.find_tunnel(0x00070003, found), 2);
  CHECK_EQ(memory.view.find_tunnel(0x00070004, found), -1);
  CHECK_EQ(memory.view.find_access(0x00010055, found), 2);
  CHECK_EQ(memory.view.find_ipv4(0x0a3c0065, found), 2);
  CHECK_EQ(memory.view.find_ipv4(0xc0a807fe, found), 2);
  CHECK_EQ(memory.view.find_ipv4(0xc0a808fe, found), -1);
  uint8_t address[16] = {0xfd, 0x60, 0, 0, 0, 0, 0, 3, 9, 9, 9, 9, 9, 9, 9, 9};
  CHECK_EQ(memory.view.find_ipv6(address, found), 2);
  address[7] = 4;
  CHECK_EQ(memory.view.find_ipv6(address, found), -1);

  call[TD_CALL_VERSION] = 1;  // being written
  CHECK_EQ(memory.view.find_tunnel(0x00070003, found), -1);
  call[TD_CALL_VERSION] = 2;
  call[TD_CALL_KIND] = TD_CALL_KIND_FREE;
  CHECK_EQ(memory.view.find_tunnel(0x00070003, found), -1);
}
