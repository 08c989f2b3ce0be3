// The sessions of an LNS or a LAC as workers read them: the memory of session_layout.h. The main thread writes; a
// reader copies an entry between two looks at its version and treats a difference as a miss.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "session_layout.h"

namespace td {

/// Byte offsets of the segments (planeLayout of src/flow/session-layout.ts).
struct PlaneOffsets {
  std::size_t sockets = 0, calls = 0, route_rows = 0, index = 0, counts = 0, statistics = 0, rings = 0;
};

/// A copy of one entry.
struct Call {
  uint32_t words[TD_CALL_WORDS];

  [[nodiscard]] uint32_t kind() const noexcept { return words[TD_CALL_KIND] & 15; }
  [[nodiscard]] uint32_t state() const noexcept { return words[TD_CALL_KIND] >> 4 & 15; }
  [[nodiscard]] bool has(uint32_t flag) const noexcept { return (words[TD_CALL_KIND] >> 8 & flag) != 0; }
  [[nodiscard]] uint16_t peer_port() const noexcept { return static_cast<uint16_t>(words[TD_CALL_SOCKET]); }
  [[nodiscard]] uint32_t socket() const noexcept { return words[TD_CALL_SOCKET] >> 16; }
  [[nodiscard]] const uint32_t* peer() const noexcept { return &words[TD_CALL_PEER]; }
  [[nodiscard]] uint32_t longest() const noexcept { return words[TD_CALL_LIMITS] >> 16; }
  [[nodiscard]] uint16_t mss() const noexcept { return static_cast<uint16_t>(words[TD_CALL_LIMITS]); }
};

/// Hash of an index key; `src/flow/session-index.ts` has the same.
uint32_t index_hash(uint32_t seed, uint32_t kind, const uint32_t* key, uint32_t length) noexcept;

/// The items that one worker counts in.
struct CallCounts {
  uint32_t* words;
  void add(uint32_t word, uint64_t amount) const noexcept;
  void packet(uint32_t packets, uint64_t bytes, uint32_t stamp, uint32_t seconds) const noexcept;
  void one(uint32_t word) const noexcept;
};

class PlaneView {
 public:
  PlaneView() = default;
  /// False when the memory is none of ours or too short for what its header says.
  bool open(std::span<uint8_t> memory, const PlaneOffsets& offsets) noexcept;

  [[nodiscard]] uint32_t header(uint32_t word) const noexcept {
    return __atomic_load_n(header_ + word, __ATOMIC_ACQUIRE);
  }
  [[nodiscard]] uint32_t sessions() const noexcept { return sessions_; }
  [[nodiscard]] uint32_t workers() const noexcept { return workers_; }
  [[nodiscard]] const uint32_t* socket(uint32_t index) const noexcept {
    return reinterpret_cast<const uint32_t*>(base_ + offsets_.sockets) + std::size_t{index} * TD_SOCKET_WORDS;
  }
  [[nodiscard]] CallCounts counts(uint32_t worker, uint32_t slot) const noexcept {
    const std::size_t item = std::size_t{worker} * sessions_ + slot;
    return {reinterpret_cast<uint32_t*>(base_ + offsets_.counts) + item * TD_COUNT_WORDS};
  }
  [[nodiscard]] uint64_t* statistics(uint32_t worker) const noexcept {
    return reinterpret_cast<uint64_t*>(base_ + offsets_.statistics) + std::size_t{worker} * TD_STATISTIC_LIMIT;
  }
  [[nodiscard]] uint8_t* ring(uint32_t worker) const noexcept {
    return base_ + offsets_.rings + std::size_t{worker} * TD_PUNT_STRIDE;
  }
  /// The words of an entry that workers write: sequence numbers.
  [[nodiscard]] uint32_t* live(uint32_t slot) const noexcept { return call_words(slot); }

  /// Copies an entry; false when the place is free, or changed for too long to be read.
  bool read(uint32_t slot, Call& call) const noexcept;

  // Each copies the session that was found, and returns its place, or −1.
  int find_tunnel(uint32_t ids, Call& call) const noexcept;
  int find_access(uint32_t word, Call& call) const noexcept;
  /// The session that an IPv4 address (a number) or an IPv6 address (16 bytes) leads to.
  int find_ipv4(uint32_t address, Call& call) const noexcept;
  int find_ipv6(const uint8_t* address, Call& call) const noexcept;

 private:
  [[nodiscard]] uint32_t* call_words(uint32_t slot) const noexcept {
    return reinterpret_cast<uint32_t*>(base_ + offsets_.calls) + std::size_t{slot} * TD_CALL_WORDS;
  }
  template <typename Holds>
  int search(uint32_t kind, const uint32_t* key, uint32_t length, Holds holds) const noexcept;
  int find_route(const uint32_t* address, uint32_t bits, Call& call) const noexcept;
  int find_routes(const uint32_t* address, uint32_t lengths_word, uint32_t words, uint32_t base,
                  Call& call) const noexcept;

  uint8_t* base_ = nullptr;
  uint32_t* header_ = nullptr;
  PlaneOffsets offsets_;
  uint32_t sessions_ = 0, routes_ = 0, workers_ = 0, mask_ = 0, seed_ = 0;
};

}  // namespace td
