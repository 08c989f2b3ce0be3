#include "session_table.h"

#include <bit>
#include <cstring>

#include "checksum.h"

namespace td {
namespace {

constexpr uint32_t kKindShift = 28;
constexpr uint32_t kPlaceMask = (1U << kKindShift) - 1;
constexpr uint32_t kFirstPlace = 2;
/// The main thread writes an entry within a microsecond; one that stays odd belongs to a process that is dying.
constexpr int kTries = 64;

uint32_t load(const uint32_t* word) noexcept { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

}  // namespace

uint32_t index_hash(uint32_t seed, uint32_t kind, const uint32_t* key, uint32_t length) noexcept {
  uint32_t h = seed ^ (kind * 0x9e3779b1U);
  for (uint32_t i = 0; i < length; i++) {
    h = (h ^ key[i]) * 0x85ebca6bU;
    // TypeScript shifts with >>>: the same for a word without sign.
    h ^= h >> 15;
  }
  h *= 0xc2b2ae35U;
  return h ^ (h >> 16);
}

void CallCounts::add(uint32_t word, uint64_t amount) const noexcept {
  auto* counter = reinterpret_cast<uint64_t*>(words + word);
  __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + amount, __ATOMIC_RELAXED);
}

void CallCounts::packet(uint32_t packets, uint64_t bytes, uint32_t stamp, uint32_t seconds) const noexcept {
  add(packets, 1);
  add(packets + 2, bytes);
  if (words[stamp] != seconds) __atomic_store_n(words + stamp, seconds, __ATOMIC_RELAXED);
}

void CallCounts::one(uint32_t word) const noexcept {
  __atomic_store_n(words + word, words[word] + 1, __ATOMIC_RELAXED);
}

bool PlaneView::open(std::span<uint8_t> memory, const PlaneOffsets& offsets) noexcept {
  if (memory.size() < TD_SOCKET_LENGTH || reinterpret_cast<uintptr_t>(memory.data()) % 64 != 0) return false;
  const auto* header = reinterpret_cast<const uint32_t*>(memory.data());
  if (load(header + TD_PLANE_MAGIC) != TD_MEMORY_MAGIC) return false;
  if (header[TD_PLANE_LAYOUT_VERSION] != TD_MEMORY_VERSION) return false;
  const uint64_t sessions = header[TD_PLANE_SESSIONS];
  const uint64_t routes = header[TD_PLANE_ROUTES];
  const uint64_t workers = header[TD_PLANE_WORKERS];
  const uint64_t slots = header[TD_PLANE_INDEX_SLOTS];
  if (workers == 0 || workers > TD_PLANE_WORKER_LIMIT || slots > kPlaceMask || !std::has_single_bit(slots))
    return false;
  const auto fits = [&](std::size_t at, uint64_t length) {
    return at % 64 == 0 && at <= memory.size() && length <= memory.size() - at;
  };
  if (!fits(offsets.sockets, TD_PLANE_SOCKET_LIMIT * TD_SOCKET_LENGTH)) return false;
  if (!fits(offsets.calls, sessions * TD_CALL_LENGTH)) return false;
  if (!fits(offsets.route_rows, routes * TD_ROUTE_LENGTH)) return false;
  if (!fits(offsets.index, slots * TD_INDEX_WORDS * 4)) return false;
  if (!fits(offsets.counts, workers * sessions * TD_COUNT_LENGTH)) return false;
  if (!fits(offsets.statistics, workers * TD_STATISTIC_LIMIT * 8)) return false;
  if (!fits(offsets.rings, workers * TD_PUNT_STRIDE)) return false;
  base_ = memory.data();
  header_ = reinterpret_cast<uint32_t*>(base_);
  offsets_ = offsets;
  sessions_ = static_cast<uint32_t>(sessions);
  routes_ = static_cast<uint32_t>(routes);
  workers_ = static_cast<uint32_t>(workers);
  mask_ = static_cast<uint32_t>(slots) - 1;
  seed_ = header[TD_PLANE_SEED];
  return true;
}

bool PlaneView::read(uint32_t slot, Call& call) const noexcept {
  if (slot >= sessions_) return false;
  const uint32_t* from = call_words(slot);
  for (int i = 0; i < kTries; i++) {
    const uint32_t before = load(from + TD_CALL_VERSION);
    if ((before & 1) != 0) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
      continue;
    }
    const auto* source = reinterpret_cast<const uint64_t*>(from);
    for (uint32_t w = 0; w < TD_CALL_WORDS / 2; w++) {
      const uint64_t two = __atomic_load_n(source + w, __ATOMIC_RELAXED);
      std::memcpy(call.words + std::size_t{w} * 2, &two, sizeof two);
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (load(from + TD_CALL_VERSION) == before) return call.kind() != TD_CALL_KIND_FREE;
  }
  return false;
}

template <typename Holds>
int PlaneView::search(uint32_t kind, const uint32_t* key, uint32_t length, Holds holds) const noexcept {
  const auto* index = reinterpret_cast<const uint32_t*>(base_ + offsets_.index);
  const uint32_t hash = index_hash(seed_, kind, key, length);
  for (uint32_t step = 0; step < TD_INDEX_REACH; step++) {
    const uint32_t* slot = index + std::size_t{(hash + step) & mask_} * TD_INDEX_WORDS;
    const uint32_t reference = load(slot + 1);
    if (reference == 0) return -1;
    if (reference >> kKindShift != kind || load(slot) != hash) continue;
    const int found = holds((reference & kPlaceMask) - kFirstPlace);
    if (found >= 0) return found;
  }
  return -1;
}

int PlaneView::find_tunnel(uint32_t ids, Call& call) const noexcept {
  return search(TD_REFERENCE_TUNNEL, &ids, 1, [&](uint32_t place) {
    const bool holds = read(place, call) && call.words[TD_CALL_LOCAL_IDS] == ids && call.has(TD_CALL_FLAG_TUNNEL);
    return holds ? static_cast<int>(place) : -1;
  });
}

int PlaneView::find_access(uint32_t word, Call& call) const noexcept {
  return search(TD_REFERENCE_ACCESS, &word, 1, [&](uint32_t place) {
    const bool holds = read(place, call) && call.words[TD_CALL_ACCESS] == word && call.has(TD_CALL_FLAG_ACCESS);
    return holds ? static_cast<int>(place) : -1;
  });
}

int PlaneView::find_ipv4(uint32_t address, Call& call) const noexcept {
  const int own = search(TD_REFERENCE_ADDRESS, &address, 1, [&](uint32_t place) {
    return read(place, call) && call.words[TD_CALL_ADDRESS] == address ? static_cast<int>(place) : -1;
  });
  if (own >= 0) return own;
  const uint32_t mapped[4] = {0, 0, 0xffff, address};
  return find_routes(mapped, TD_PLANE_LENGTHS4, 2, 96, call);
}

int PlaneView::find_ipv6(const uint8_t* address, Call& call) const noexcept {
  const uint32_t words[4] = {load32(address), load32(address + 4), load32(address + 8), load32(address + 12)};
  const int own = search(TD_REFERENCE_PREFIX, words, 2, [&](uint32_t place) {
    const bool holds = read(place, call) && call.words[TD_CALL_PREFIX] == words[0] &&
                       call.words[TD_CALL_PREFIX + 1] == words[1] && (words[0] | words[1]) != 0;
    return holds ? static_cast<int>(place) : -1;
  });
  if (own >= 0) return own;
  return find_routes(words, TD_PLANE_LENGTHS6, 5, 0, call);
}

/// Longest first, over the lengths that there are.
int PlaneView::find_routes(const uint32_t* address, uint32_t lengths_word, uint32_t words, uint32_t base,
                           Call& call) const noexcept {
  for (uint32_t w = words; w-- > 0;) {
    for (uint32_t lengths = header(lengths_word + w); lengths != 0;) {
      const auto bit = static_cast<uint32_t>(31 - std::countl_zero(lengths));
      lengths &= ~(1U << bit);
      const int found = find_route(address, base + w * 32 + bit, call);
      if (found >= 0) return found;
    }
  }
  return -1;
}

int PlaneView::find_route(const uint32_t* address, uint32_t bits, Call& call) const noexcept {
  uint32_t key[5] = {bits, 0, 0, 0, 0};
  for (uint32_t i = 0; i < 4; i++) {
    const uint32_t left = bits > i * 32 ? bits - i * 32 : 0;
    key[i + 1] = left == 0 ? 0 : left >= 32 ? address[i] : address[i] & ~(0xffffffffU >> left);
  }
  const auto* rows = reinterpret_cast<const uint32_t*>(base_ + offsets_.route_rows);
  return search(TD_REFERENCE_ROUTE, key, 5, [&](uint32_t place) {
    if (place >= routes_) return -1;
    const uint32_t* row = rows + std::size_t{place} * TD_ROUTE_WORDS;
    const uint32_t before = load(row + TD_ROUTE_VERSION);
    bool holds = load(row + TD_ROUTE_BITS) == bits;
    for (uint32_t i = 0; i < 4 && holds; i++) {
      const uint32_t left = bits > i * 32 ? bits - i * 32 : 0;
      const uint32_t word = load(row + TD_ROUTE_ADDRESS + i);
      holds = (left == 0 ? 0 : left >= 32 ? word : word & ~(0xffffffffU >> left)) == key[i + 1];
    }
    const uint32_t slot = load(row + TD_ROUTE_SLOT);
    if (!holds || (before & 1) != 0 || load(row + TD_ROUTE_VERSION) != before) return -1;
    return read(slot, call) ? static_cast<int>(slot) : -1;
  });
}

}  // namespace td
