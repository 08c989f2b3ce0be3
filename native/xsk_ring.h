// A shard's part of the AF_XDP sockets (xsk_set.h): what arrives for it on every queue, and what it sends, frame by
// frame where they lie in the shared memory.
#pragma once

#include <poll.h>

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "host_sender.h"
#include "xsk_set.h"

namespace td {

struct XskRingOptions {
  uint32_t shard = 0;
  std::vector<PortView> ports;
  uint32_t spin_micros = kSpinMicros;
  int wake_fd = -1;
};

class XskRing {
 public:
  /// Throws SystemError EBUSY while another ring is the shard's, EINVAL for a shard that the set has not.
  XskRing(std::shared_ptr<XskSet> set, const XskRingOptions& options);
  ~XskRing() { close(); }
  XskRing(const XskRing&) = delete;
  XskRing& operator=(const XskRing&) = delete;

  [[nodiscard]] const std::shared_ptr<RingMemory>& memory() const noexcept { return memory_; }
  [[nodiscard]] std::size_t scratch_offset() const noexcept { return scratch_offset_; }
  [[nodiscard]] bool closed() const noexcept { return set_ == nullptr; }
  /// To be called once before any turn.
  void bind(const TableView& table, const Columns& columns, const Counters& counters, double* clock) noexcept;
  void rewrite(uint32_t received, uint32_t scratch) noexcept;
  /// As PacketRing::turn. EBADF when the set has been closed, or the shard reclaimed.
  uint32_t turn(uint32_t received, uint32_t scratch, uint32_t wait_ms);
  /// As PacketRing: the kernel's counts, renewed; what was lost before this ring attached is counted here, too.
  void pull_statistics() noexcept;
  [[nodiscard]] uint64_t frames_seen() const noexcept { return taken_ + lost_; }
  [[nodiscard]] uint64_t frames_lost() const noexcept { return lost_; }
  /// Gives back all frames and lets go of the set; the memory stays readable. A second call does nothing.
  void close() noexcept;

 private:
  /// One device: where frames come from, and the send ring that this shard has there.
  struct Side {
    XskDevice* device = nullptr;
    XskSocket* sender = nullptr;
    XskQueue* send_queue = nullptr;
    FrameOwner sent = 0;       // owner of what is in the send ring
    uint32_t accounted = 0;    // position in the send ring up to which frames have been counted
    uint32_t next_queue = 0;   // where receiving begins
    uint32_t frame_limit = 0;  // longer ones the device would throw away, and nobody would count them
    uint32_t waits = 0;        // of this turn
    bool congested = false;    // waiting has not helped last time
    bool failed = false;       // something hints that the device has gone
  };
  enum class Kick : uint8_t { kAgain, kDone };

  void send(uint32_t received, uint32_t scratch) noexcept;
  void collect(uint32_t first, uint32_t count) noexcept;
  bool enqueue(uint8_t port, std::size_t offset, std::size_t length) noexcept;
  /// Calls the kernel until the send ring is empty, or until that does not help.
  void flush(Side& side) noexcept;
  Kick answer(Side& side, int error, bool moved) noexcept;
  Kick wait_for_room(Side& side) noexcept;
  uint32_t account(Side& side) noexcept;
  void account_drop(Side& side, bool moved) noexcept;
  void cancel(Side& side) noexcept;
  void failed(double frames = 1) noexcept { counters_.statistics[counters_.send_failed] += frames; }

  /// The frame is empty and ours.
  void keep(uint32_t frame) noexcept {
    set_->pool().set_owner(frame, spare_of(shard_));
    spare_.push_back(frame);
  }
  /// A frame of our own; false when there is none.
  bool take_frame(uint32_t& frame) noexcept;
  void release_batch() noexcept;
  /// Gives the kernel what it needs on this queue and takes back what it has sent.
  void serve(XskQueue& queue) noexcept;
  void serve_all() noexcept;
  uint32_t drain(XskQueue& queue) noexcept;
  void refill(XskQueue& queue) noexcept;
  void keep_at_most(std::size_t count) noexcept;

  uint32_t receive() noexcept;
  uint32_t receive_from(Side& side, uint8_t index, uint32_t from, uint32_t room) noexcept;
  uint32_t take(XskSocket& socket, uint8_t device, uint32_t from, uint32_t room) noexcept;
  [[nodiscard]] uint8_t port_of(uint8_t device, uint32_t vlan) const noexcept;
  void wait(uint32_t wait_ms) noexcept;
  void check_devices();
  [[nodiscard]] XskSocket& socket_of(const Side& side, uint32_t queue) const noexcept {
    return side.device->sockets[std::size_t{queue} * set_->shards() + shard_];
  }

  std::shared_ptr<XskSet> set_;
  std::shared_ptr<RingMemory> memory_;
  uint32_t shard_, spin_micros_;
  int wake_fd_;
  uint32_t attached_ = 0;
  uint32_t shift_;  // of a frame's number to its offset
  std::size_t scratch_offset_ = 0;
  std::vector<PortView> ports_;
  HostSender host_;
  std::vector<Side> sides_;
  std::vector<pollfd> polled_;
  std::array<uint32_t, TD_BATCH_CAPACITY> batch_{};  // frames of the last batch
  uint32_t batched_ = 0;
  std::vector<uint32_t> spare_;  // ours and empty; room for all frames from the start
  std::size_t spare_limit_ = 0;
  TableView table_;
  Columns columns_;
  Counters counters_;
  double* clock_ = nullptr;
  uint8_t first_side_ = 0;
  uint64_t taken_ = 0, lost_ = 0;
  double checked_at_ = 0;
};

}  // namespace td
