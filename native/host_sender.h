// Puts rewritten packets into this host itself: those of servers whose address is the host's own. By raw sockets, since
// what the host sends to its own address comes back to it with its route, so that no reverse path filter asks where the
// client is (docs/decisions/0033-full-nat-and-local-delivery.md).
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "rewrite.h"
#include "unique_fd.h"

namespace td {

/// The port by which frames go into the host: no device, so nothing arrives by it.
constexpr uint8_t kNoDevice = 255;
constexpr PortView kHostPort{{}, 0, kNoDevice};

class HostSender {
 public:
  /// Takes the IP packet of an Ethernet frame, which must stay where it is until `flush`. False: it is none, or too
  /// many wait; the caller counts it.
  bool add(std::span<uint8_t> frame) noexcept;
  /// Sends what was added and counts it.
  void flush(const Counters& counters) noexcept;

 private:
  struct Family {
    UniqueFd socket;
    bool tried = false;
    uint32_t count = 0;
    std::array<mmsghdr, TD_COLUMN_LENGTH> messages{};
    std::array<iovec, TD_COLUMN_LENGTH> parts{};
    std::array<sockaddr_in6, TD_COLUMN_LENGTH> places{};  // or sockaddr_in, which is shorter
  };

  void flush(int family, Family& side, const Counters& counters) noexcept;

  // Few have such a server: the room for messages is there once the first packet comes.
  std::unique_ptr<Family> ipv4_, ipv6_;
};

}  // namespace td
