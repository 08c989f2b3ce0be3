// AF_XDP: one piece of memory (UMEM) and all sockets of the process, one for each (device, queue, shard). Made by the
// main thread, so that the sockets outlive a shard's crash; shards attach to it (xsk_ring.h).
#pragma once

#include <linux/if_xdp.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "packet_ring.h"
#include "unique_fd.h"

namespace td {

enum class XskCopy : uint8_t { kAuto, kCopy, kZeroCopy };

struct XskDeviceOptions {
  std::string name;
  uint32_t queues = 1;
};

struct XskSetOptions {
  std::vector<XskDeviceOptions> devices;
  uint32_t shards = 1;
  uint32_t chunk_length = 2048;  // 2048 or 4096
  uint32_t frames_per_queue = 4096;
  XskCopy copy = XskCopy::kAuto;
};

/// One of the rings that the kernel and we share. Positions live in the mapping, so that whoever attaches goes on.
class XskQueue {
 public:
  XskQueue() = default;
  /// `item`: bytes of a descriptor.
  XskQueue(int fd, uint32_t size, std::size_t item, const xdp_ring_offset& offsets, off_t page,
           const std::string& what);
  ~XskQueue();
  XskQueue(XskQueue&& other) noexcept;
  XskQueue& operator=(XskQueue&&) = delete;

  /// Items that a consumer (we of receive and completion ring) may take.
  [[nodiscard]] uint32_t filled() const noexcept {
    return std::atomic_ref<uint32_t>(*producer_).load(std::memory_order_acquire) - *consumer_;
  }
  /// Room that a producer (we of fill and transmit ring) has.
  [[nodiscard]] uint32_t room() const noexcept {
    return size_ - (*producer_ - std::atomic_ref<uint32_t>(*consumer_).load(std::memory_order_acquire));
  }
  template <typename T>
  [[nodiscard]] T& to_take(uint32_t n) const noexcept {
    return static_cast<T*>(items_)[(*consumer_ + n) & (size_ - 1)];
  }
  template <typename T>
  [[nodiscard]] T& to_give(uint32_t n) const noexcept {
    return static_cast<T*>(items_)[(*producer_ + n) & (size_ - 1)];
  }
  void taken(uint32_t count) noexcept {
    std::atomic_ref<uint32_t>(*consumer_).store(*consumer_ + count, std::memory_order_release);
  }
  void given(uint32_t count) noexcept {
    std::atomic_ref<uint32_t>(*producer_).store(*producer_ + count, std::memory_order_release);
  }
  [[nodiscard]] bool wants_wakeup() const noexcept {
    return (std::atomic_ref<uint32_t>(*flags_).load(std::memory_order_acquire) & XDP_RING_NEED_WAKEUP) != 0;
  }

 private:
  void* map_ = nullptr;
  std::size_t length_ = 0;
  uint32_t size_ = 0;
  uint32_t* producer_ = nullptr;
  uint32_t* consumer_ = nullptr;
  uint32_t* flags_ = nullptr;
  void* items_ = nullptr;
};

/// The frames that nobody uses, and who has the others. Threads take and give whole batches under a short lock.
class FramePool {
 public:
  /// Whoever is not a shard; shard s is kFirstShard + s.
  enum Owner : uint8_t { kPool, kFill, kTransmit, kFirstShard };

  explicit FramePool(uint32_t count);
  /// Up to `count` frames into `out`; returns how many. They are `owner`'s now.
  uint32_t take(uint32_t* out, uint32_t count, uint8_t owner) noexcept;
  void give(const uint32_t* frames, uint32_t count) noexcept;
  void own(uint32_t frame, uint8_t owner) noexcept { owners_[frame].store(owner, std::memory_order_relaxed); }
  /// Everything that `owner` has comes back; returns how many frames.
  uint32_t reclaim(uint8_t owner) noexcept;
  [[nodiscard]] uint32_t size() const noexcept { return static_cast<uint32_t>(owners_.size()); }
  [[nodiscard]] uint32_t available() noexcept;

 private:
  void lock() noexcept;
  void unlock() noexcept { busy_.clear(std::memory_order_release); }
  std::atomic_flag busy_;
  uint32_t used_ = 0;
  std::vector<uint32_t> free_;
  std::vector<std::atomic<uint8_t>> owners_;
};

class XskSet {
 public:
  struct Socket {
    UniqueFd fd;
    XskQueue receive, transmit;
  };
  /// A (device, queue): its rings belong to one shard, which refills and drains them.
  struct Lane {
    uint32_t device, queue;
    uint32_t owner;  // shard
    XskQueue fill, completion;
    std::vector<Socket> sockets;  // by shard
  };
  struct Device {
    std::string name;
    unsigned interface;
    uint32_t queues;
    bool zero_copy;
  };

  /// Throws SystemError: EPERM without CAP_NET_RAW, ENODEV, EBUSY another process has a queue, EOPNOTSUPP no zero-copy.
  explicit XskSet(const XskSetOptions& options);

  [[nodiscard]] const std::vector<Device>& devices() const noexcept { return devices_; }
  [[nodiscard]] std::vector<Lane>& lanes() noexcept { return lanes_; }
  [[nodiscard]] Lane& lane(uint32_t device, uint32_t queue) noexcept { return lanes_[first_lane_[device] + queue]; }
  [[nodiscard]] FramePool& pool() noexcept { return pool_; }
  [[nodiscard]] uint32_t shards() const noexcept { return shards_; }
  [[nodiscard]] uint32_t queues() const noexcept { return queues_; }
  [[nodiscard]] uint32_t chunk_length() const noexcept { return chunk_; }
  /// Frames first, then scratch memory of every shard.
  [[nodiscard]] std::size_t memory_length() const noexcept { return length_; }
  [[nodiscard]] std::size_t scratch_offset(uint32_t shard) const noexcept;
  /// Another mapping of the memory.
  [[nodiscard]] std::shared_ptr<RingMemory> map() const;

 private:
  void open(const XskSetOptions& options, uint16_t flags);
  void open_lane(Lane& lane, const XskSetOptions& options, uint16_t flags);
  void bind_socket(const Socket& socket, const Lane& lane, uint16_t flags) const;

  uint32_t shards_, chunk_, queues_ = 1;
  FramePool pool_;
  std::size_t length_;
  UniqueFd memory_fd_;
  std::shared_ptr<RingMemory> memory_;
  std::vector<Device> devices_;
  std::vector<Lane> lanes_;
  std::vector<uint32_t> first_lane_;
};

}  // namespace td
