// Which frames of a segment a gateway group wants to see, as a classic BPF program for its packet socket. It runs
// before a frame is queued, so the traffic of everybody else costs no wake-up.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <vector>

namespace td {

/// More would make jumps longer than classic BPF has.
constexpr std::size_t kLanAddressLimit = 32;

/// `words`: four for each shared address, IPv4 mapped. Let through: messages between members (EtherType 0x88B5), ARP
/// with a shared address as target or sender, neighbour solicitations and advertisements for one (by its last 32 bits),
/// router solicitations, and UDP to `udp_port` (0 none). Frames of a VLAN other than 0 are not of this segment.
std::vector<sock_filter> lan_filter(std::span<const uint32_t> words, uint16_t udp_port);

}  // namespace td
