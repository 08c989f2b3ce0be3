// The rings that an AF_XDP socket shares with the kernel: a producer's and a consumer's word, flags, and items. Each
// ring has one writer of either word; where several threads use one, a lock is theirs to hold.
#pragma once

#include <linux/if_xdp.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>

#include "packet_ring.h"

namespace td {

template <typename Item>
class KernelRing {
 public:
  KernelRing() = default;
  KernelRing(KernelRing&& other) noexcept { *this = std::move(other); }
  KernelRing& operator=(KernelRing&& other) noexcept {
    std::swap(base_, other.base_);
    std::swap(length_, other.length_);
    std::swap(producer_, other.producer_);
    std::swap(consumer_, other.consumer_);
    std::swap(flags_, other.flags_);
    std::swap(items_, other.items_);
    std::swap(mask_, other.mask_);
    return *this;
  }
  ~KernelRing() {
    if (base_ != nullptr) munmap(base_, length_);
  }

  /// `entries`: a power of two, as the socket was told.
  void map(int fd, uint64_t page_offset, const xdp_ring_offset& offset, uint32_t entries, const std::string& what) {
    length_ = offset.desc + entries * sizeof(Item);
    void* base =
        mmap(nullptr, length_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, static_cast<off_t>(page_offset));
    if (base == MAP_FAILED) throw SystemError{"mmap of " + what, errno};
    base_ = static_cast<uint8_t*>(base);
    producer_ = reinterpret_cast<uint32_t*>(base_ + offset.producer);
    consumer_ = reinterpret_cast<uint32_t*>(base_ + offset.consumer);
    flags_ = reinterpret_cast<uint32_t*>(base_ + offset.flags);
    items_ = reinterpret_cast<Item*>(base_ + offset.desc);
    mask_ = entries - 1;
  }

  [[nodiscard]] uint32_t size() const noexcept { return mask_ + 1; }
  [[nodiscard]] uint32_t produced() const noexcept { return word(producer_).load(std::memory_order_acquire); }
  [[nodiscard]] uint32_t consumed() const noexcept { return word(consumer_).load(std::memory_order_acquire); }
  /// Items that the other side has not taken, or that it has put there for us. A writer that has gone mad is a full
  /// ring.
  [[nodiscard]] uint32_t used() const noexcept { return std::min(produced() - consumed(), size()); }
  [[nodiscard]] uint32_t room() const noexcept { return size() - used(); }
  [[nodiscard]] Item& at(uint32_t position) const noexcept { return items_[position & mask_]; }
  void produce(uint32_t position) noexcept { word(producer_).store(position, std::memory_order_release); }
  void consume(uint32_t position) noexcept { word(consumer_).store(position, std::memory_order_release); }
  /// The kernel sleeps until it is called.
  [[nodiscard]] bool needs_wakeup() const noexcept {
    return (word(flags_).load(std::memory_order_relaxed) & XDP_RING_NEED_WAKEUP) != 0;
  }

 private:
  static std::atomic_ref<uint32_t> word(uint32_t* at) noexcept { return std::atomic_ref<uint32_t>(*at); }

  uint8_t* base_ = nullptr;
  std::size_t length_ = 0;
  uint32_t *producer_ = nullptr, *consumer_ = nullptr, *flags_ = nullptr;
  Item* items_ = nullptr;
  uint32_t mask_ = 0;
};

}  // namespace td
