// What the data path of an LNS or a LAC reads from and writes to: TUN queues, groups of UDP sockets, PPPoE sockets.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "packet_ring.h"
#include "unique_fd.h"

namespace td {

struct TunDevice {
  std::string name;
  std::vector<UniqueFd> queues;
  /// All packets to one address go to one queue.
  bool steered = false;
};

/// Makes or opens a TUN device with so many queues, sets its MTU and brings it up. Throws SystemError.
TunDevice open_tun(const std::string& name, uint32_t queues, uint32_t mtu);

struct UdpGroup {
  uint16_t port;
  std::vector<UniqueFd> sockets;
};

/// Sockets that share an address and port. The kernel picks one by tunnel and session id, so that a session's messages
/// stay in order; control messages by tunnel id alone. Throws SystemError.
UdpGroup open_udp_group(const uint32_t* address, uint16_t port, uint32_t count, bool freebind);

struct AccessSockets {
  std::vector<UniqueFd> sessions;
  UniqueFd discovery;
};

/// PPPoE on an interface: session frames are spread by session id. Throws SystemError.
AccessSockets open_access(const std::string& name, uint32_t count);

}  // namespace td
