// Collects PPPoE session frames of a batch and sends them with few calls. Memory that was handed in must stay until
// flush().
#pragma once

#include <linux/if_packet.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <vector>

namespace td {

/// One access line's interface as a worker uses it.
struct AccessLine {
  int session_fd = -1;
  int discovery_fd = -1;
  int interface_index = 0;
  std::array<uint8_t, 6> mac{};
};

constexpr uint32_t kEthernetLength = 14, kPppoeLength = 6;

class AccessOutbox {
 public:
  explicit AccessOutbox(uint32_t capacity);

  [[nodiscard]] bool full() const noexcept { return count_ == messages_.size(); }
  /// A PPP frame from its protocol on, with `pad` zero bytes before it (a compressed protocol spelt out). Not when
  /// full().
  void add(const AccessLine& line, const uint8_t* mac, uint16_t session, const uint8_t* frame, uint32_t length,
           uint32_t pad) noexcept;
  /// Frames that were sent and that the kernel refused.
  struct Result {
    uint64_t sent = 0, failed = 0;
  };
  Result flush() noexcept;

 private:
  struct Frame {
    int fd;
    sockaddr_ll to;
    uint8_t head[kEthernetLength + kPppoeLength + 1];
    iovec parts[2];
  };
  std::vector<Frame> frames_;
  std::vector<mmsghdr> messages_;
  uint32_t count_ = 0;
};

}  // namespace td
