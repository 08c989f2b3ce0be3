// A raw netlink socket that never blocks. Knows nothing of Node.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "unique_fd.h"

namespace td {

/// A system call that failed: what it was, and errno.
struct NetlinkError {
  std::string what;
  int error;
};

constexpr std::size_t kNetlinkHeaderLength = 16;

class NetlinkSocket {
 public:
  NetlinkSocket() = default;
  /// `groups`: bit g − 1 joins multicast group g. Throws NetlinkError.
  NetlinkSocket(int protocol, uint64_t groups);

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  /// 0, or errno.
  int send(std::span<const uint8_t> message) noexcept;
  /// 0 and one datagram, valid until the next call, or an empty one when none is there; else errno. ENOBUFS: the kernel
  /// had to leave messages out. EMSGSIZE: a datagram did not fit and is lost.
  int receive(std::span<const uint8_t>& datagram) noexcept;
  void close() noexcept { fd_.reset(); }

 private:
  UniqueFd fd_;
  std::vector<uint8_t> buffer_;
};

}  // namespace td
