// Who has which frame of a UMEM, and the frames that nobody has. Every frame has one owner at any time; a shard that
// dies leaves its own behind, and they can be told from all others.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "layout.h"

namespace td {

using FrameOwner = uint16_t;
constexpr FrameOwner kInPool = 0;
constexpr FrameOwner kInKernel = 1;  // in a fill ring, in the kernel, or in a receive ring and not taken from it
constexpr FrameOwner kHeld = 2;      // + shard: in its batch
constexpr FrameOwner kSpare = kHeld + TD_SHARD_LIMIT;  // + shard: empty, for its next use
constexpr FrameOwner kSent = kSpare + TD_SHARD_LIMIT;  // + device * TD_SHARD_LIMIT + shard: in that send ring or behind

constexpr FrameOwner held_by(uint32_t shard) noexcept { return static_cast<FrameOwner>(kHeld + shard); }
constexpr FrameOwner spare_of(uint32_t shard) noexcept { return static_cast<FrameOwner>(kSpare + shard); }
constexpr FrameOwner sent_by(uint32_t device, uint32_t shard) noexcept {
  return static_cast<FrameOwner>(kSent + device * TD_SHARD_LIMIT + shard);
}

class FramePool {
 public:
  explicit FramePool(uint32_t frames) : owners_(frames, kInPool) {
    free_.reserve(frames);
    // The lowest last, so that they are taken first.
    for (uint32_t frame = frames; frame > 0; frame--) free_.push_back(frame - 1);
  }

  [[nodiscard]] uint32_t frames() const noexcept { return static_cast<uint32_t>(owners_.size()); }
  [[nodiscard]] FrameOwner owner(uint32_t frame) const noexcept {
    return std::atomic_ref<FrameOwner>(const_cast<FrameOwner&>(owners_[frame])).load(std::memory_order_relaxed);
  }
  /// To be called by who has the frame, or by who gets it back from the kernel.
  void set_owner(uint32_t frame, FrameOwner owner) noexcept {
    std::atomic_ref<FrameOwner>(owners_[frame]).store(owner, std::memory_order_relaxed);
  }

  /// Takes up to frames.size() for `owner`; returns how many there were.
  uint32_t take(std::span<uint32_t> frames, FrameOwner owner) noexcept {
    const std::lock_guard lock(lock_);
    uint32_t taken = 0;
    for (; taken < frames.size() && !free_.empty(); taken++) {
      frames[taken] = free_.back();
      free_.pop_back();
      set_owner(frames[taken], owner);
    }
    return taken;
  }

  void give(std::span<const uint32_t> frames) noexcept {
    const std::lock_guard lock(lock_);
    for (const uint32_t frame : frames) {
      set_owner(frame, kInPool);
      free_.push_back(frame);
    }
  }

  /// Everything that `owner` has comes back. `owner` must do nothing more.
  uint32_t reclaim(FrameOwner owner) noexcept {
    const std::lock_guard lock(lock_);
    uint32_t found = 0;
    for (uint32_t frame = 0; frame < frames(); frame++) {
      if (this->owner(frame) != owner) continue;
      set_owner(frame, kInPool);
      free_.push_back(frame);
      found++;
    }
    return found;
  }

  /// Frames with an owner of [first, last].
  [[nodiscard]] uint32_t count(FrameOwner first, FrameOwner last) const noexcept {
    uint32_t found = 0;
    for (uint32_t frame = 0; frame < frames(); frame++) {
      const FrameOwner of = owner(frame);
      if (of >= first && of <= last) found++;
    }
    return found;
  }

 private:
  std::mutex lock_;
  std::vector<uint32_t> free_;  // room for all from the start: never allocates again
  std::vector<FrameOwner> owners_;
};

}  // namespace td
