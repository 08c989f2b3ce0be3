// A source of traffic for benchmarks: sends prepared frames, one per flow, round robin, over an AF_PACKET socket.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "packet_ring.h"
#include "unique_fd.h"

namespace td {

struct FloodOptions {
  std::string device;
  /// `count` beginnings of frames, `head_length` bytes each; the memory stays the caller's.
  std::span<const uint8_t> heads;
  uint32_t head_length = 0;
  uint32_t count = 0;
  /// What follows in every frame; may be empty.
  std::span<const uint8_t> tail;
};

struct FloodOrder {
  double seconds = 0;
  /// Frames per second; 0 as fast as it goes.
  double rate = 0;
  /// Stops after so many frames; 0 no limit.
  uint64_t limit = 0;
};

struct FloodResult {
  uint64_t sent = 0;
  /// Frames that the kernel did not take at the first attempt.
  uint64_t refused = 0;
  double seconds = 0;
};

class Flood {
 public:
  /// Throws SystemError: EPERM without CAP_NET_RAW, ENODEV without the device.
  explicit Flood(const FloodOptions& options);
  /// Blocks for `order.seconds`. Paces by sleeping, so that it leaves its processor to others; what it could not send
  /// in time is not caught up with, because a burst would overrun queues that a steady stream does not.
  FloodResult run(const FloodOrder& order);
  void close() noexcept { fd_ = UniqueFd(); }
  [[nodiscard]] bool closed() const noexcept { return fd_.get() < 0; }

 private:
  void prepare(uint32_t burst) noexcept;

  FloodOptions options_;
  UniqueFd fd_;
  uint32_t next_ = 0;
  std::vector<mmsghdr> messages_;
  std::vector<iovec> parts_;
};

}  // namespace td
