// Collects datagrams of a batch and sends them with few calls: those of one size to one far end leave as one
// (UDP_SEGMENT), the rest by sendmmsg. Memory that was handed in must stay as it is until flush().
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <vector>

namespace td {

/// A socket address of either family, made from four words (IPv4-mapped: IPv4).
struct SocketAddress {
  union {
    sockaddr_in v4;
    sockaddr_in6 v6;
    sockaddr any;
  };
  socklen_t length;

  static SocketAddress of(const uint32_t* words, uint16_t port) noexcept;
  /// Writes the four words, returns the port.
  uint16_t words(uint32_t* words) const noexcept;
};

class UdpOutbox {
 public:
  struct Result {
    uint64_t sent = 0, failed = 0, calls = 0;
  };

  /// `segments`: whether datagrams may be joined.
  explicit UdpOutbox(uint32_t capacity, bool segments);

  [[nodiscard]] bool full() const noexcept { return datagrams_ == capacity_; }
  [[nodiscard]] bool empty() const noexcept { return datagrams_ == 0; }
  /// Not when full().
  void add(int fd, const uint32_t* peer, uint16_t port, const uint8_t* bytes, uint32_t length) noexcept;
  /// Sends everything; what was sent and what was refused since the last flush.
  Result flush() noexcept;

 private:
  /// Datagrams of one size to one far end, in order; the last may be shorter.
  struct Run {
    int fd;
    uint32_t peer[4];
    uint16_t port;
    uint32_t segment;  // bytes of each but the last
    uint32_t bytes;
    uint32_t count;
    uint32_t first, last;  // parts, chained
    bool closed;
  };
  struct Part {
    iovec data;
    uint32_t next;
  };

  bool extend(Run& run, const uint8_t* bytes, uint32_t length) noexcept;
  void send_fd(int fd, Result& result) noexcept;
  void send_single(const Run& run, Result& result) noexcept;

  static constexpr uint32_t kSlots = 64;
  static constexpr uint32_t kSegments = 64;
  static constexpr uint32_t kRunBytes = 65000;

  uint32_t capacity_;
  bool segments_;
  /// Datagrams longer than this are not joined: a path's MTU showed it.
  uint32_t segment_limit_ = 65535;
  uint32_t datagrams_ = 0, run_count_ = 0;
  std::vector<Run> runs_;
  std::vector<Part> parts_;
  std::array<uint32_t, kSlots> current_{};  // by far end: run + 1
  std::vector<mmsghdr> messages_;
  std::vector<iovec> vectors_;
  std::vector<SocketAddress> addresses_;
  std::vector<std::array<uint64_t, 4>> controls_;
  std::vector<uint32_t> sent_runs_;
};

}  // namespace td
