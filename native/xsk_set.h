// AF_XDP: the memory and the sockets of a process. One socket per device, queue and shard; one fill and one completion
// ring per device and queue. The main thread makes them, so that they outlive a shard's thread; shards work on them
// through XskRing.
#pragma once

#include <linux/if_xdp.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "frame_pool.h"
#include "kernel_ring.h"
#include "packet_ring.h"
#include "unique_fd.h"

namespace td {

/// A shard's scratch memory.
constexpr std::size_t kXskScratchLength = static_cast<std::size_t>(TD_SCRATCH_SLOTS) * TD_SCRATCH_SLOT_LENGTH;
constexpr uint32_t kQueueLimit = 256;
constexpr uint32_t kFramesPerQueueMin = 512;
constexpr uint32_t kFramesPerQueueMax = 1U << 18;

struct XskDeviceOptions {
  std::string name;
  uint32_t queues = 1;
};

enum class XskCopy : uint8_t { kAuto, kCopy, kZeroCopy };

struct XskSetOptions {
  std::vector<XskDeviceOptions> devices;
  uint32_t shards = 1;
  uint32_t chunk_length = 2048;  // or 4096
  uint32_t frames_per_queue = 4096;
  XskCopy copy = XskCopy::kAuto;
};

/// One socket; used by the thread that its shard runs in, and by nobody else.
struct XskSocket {
  UniqueFd fd;
  KernelRing<xdp_desc> receive;
  KernelRing<xdp_desc> send;  // only on the queue that the shard sends by
  uint64_t lost = 0;          // frames that have been counted as lost
};

/// What all sockets of a device's queue share. The rings are used under the lock.
struct XskQueue {
  std::mutex lock;
  int fd = -1;  // of the first socket
  KernelRing<uint64_t> fill;
  KernelRing<uint64_t> completion;
  uint32_t filled = 0;  // frames that the fill ring is to have
};

struct XskDevice {
  std::string name;
  unsigned interface = 0;
  uint32_t queues = 0;          // that frames come in by
  uint32_t sending_queues = 0;  // the first ones, that frames go out by
  /// An AF_PACKET socket that receives nothing: for questions about the device, and to let its multicast frames in.
  UniqueFd control;
  std::unique_ptr<XskQueue[]> queue;
  std::vector<XskSocket> sockets;  // queue * shards + shard

  /// The longest frame that it sends, without a tag; renewed by whoever asks for it.
  [[nodiscard]] uint32_t frame_limit() const noexcept;
};

class XskSet {
 public:
  /// Throws SystemError: EPERM without CAP_NET_RAW, ENODEV without the interface, EBUSY when somebody else has a queue
  /// and keeps it for three seconds, EOPNOTSUPP when zero-copy is asked for and the driver has none, ENOBUFS when so
  /// much memory may not be locked.
  explicit XskSet(const XskSetOptions& options);
  XskSet(const XskSet&) = delete;
  XskSet& operator=(const XskSet&) = delete;

  /// Rings that are at work notice it at their next turn; the sockets close when the last of them has let go of the
  /// set.
  void shut() noexcept { closed_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool closed() const noexcept { return closed_.load(std::memory_order_relaxed); }

  [[nodiscard]] const std::shared_ptr<RingMemory>& memory() const noexcept { return memory_; }
  [[nodiscard]] std::vector<XskDevice>& devices() noexcept { return devices_; }
  [[nodiscard]] FramePool& pool() noexcept { return pool_; }
  [[nodiscard]] uint32_t shards() const noexcept { return shards_; }
  [[nodiscard]] uint32_t chunk_shift() const noexcept { return chunk_shift_; }
  /// The largest number of queues that a device has.
  [[nodiscard]] uint32_t queues() const noexcept { return queues_; }
  /// The kernel uses the frames where they lie. The memory is one, so all devices do or none.
  [[nodiscard]] bool zero_copy() const noexcept { return zero_copy_; }
  [[nodiscard]] std::size_t scratch_offset(uint32_t shard) const noexcept {
    return umem_length_ + shard * kXskScratchLength;
  }

  /// The shard's ring begins; returns what `serves` and `detach` want. Throws EBUSY while another one has not ended.
  uint32_t attach(uint32_t shard);
  /// Whether the ring that attached as `turn` is still the shard's.
  [[nodiscard]] bool serves(uint32_t shard, uint32_t turn) const noexcept {
    return shards_state_[shard].load(std::memory_order_acquire) == turn;
  }
  /// Gives back what the shard holds; returns how many frames. A ring that is not the shard's any more changes nothing.
  uint32_t detach(uint32_t shard, uint32_t turn) noexcept;
  /// The same without asking the ring: its thread has ended.
  uint32_t reclaim(uint32_t shard) noexcept;

 private:
  /// Opens all sockets; `bind_flags` are for the first one, whose ways the others have to share.
  void open(const XskSetOptions& options, uint16_t bind_flags);
  void open_device(const XskDeviceOptions& wanted, std::size_t index, uint16_t bind_flags);
  void open_socket(XskDevice& device, uint32_t queue, uint32_t shard, uint16_t bind_flags);
  void register_memory(int fd);
  void fill();

  uint32_t shards_, chunk_shift_, frames_per_queue_;
  uint32_t queues_ = 0;
  std::size_t umem_length_ = 0;
  std::shared_ptr<RingMemory> memory_;
  FramePool pool_;
  std::vector<XskDevice> devices_;
  int first_fd_ = -1;
  bool zero_copy_ = false;
  std::atomic<bool> closed_ = false;
  // Odd: a ring is attached. One more with every attach and detach.
  std::array<std::atomic<uint32_t>, TD_SHARD_LIMIT> shards_state_{};
};

}  // namespace td
