// What an LNS does to IP packets besides forwarding them: fragments, "packet too big", the MSS of TCP.
#pragma once

#include <cstdint>

namespace td {

/// Length and version are what the header says and fit into `length`; returns the packet's own length (padding is
/// behind it), or 0 when it is no such packet.
uint32_t checked_ipv4(const uint8_t* packet, uint32_t length) noexcept;
uint32_t checked_ipv6(const uint8_t* packet, uint32_t length) noexcept;

constexpr uint32_t kAnswerRoom = 1280;
/// ICMP "fragmentation needed" (RFC 1191) or ICMPv6 "packet too big" (RFC 4443) for a packet, from its destination to
/// its source. Returns its length in `answer` (kAnswerRoom bytes), 0 where none may be sent.
uint32_t make_too_big(const uint8_t* packet, uint32_t length, uint32_t mtu, uint8_t* answer) noexcept;

/// Lowers the MSS option of a TCP SYN to `mss`, with its checksum (RFC 879, RFC 6691). The packet has been checked.
void clamp_mss(uint8_t* packet, uint32_t length, uint16_t mss) noexcept;

/// True when IPv4 may be cut into fragments by routers.
inline bool may_fragment(const uint8_t* packet) noexcept { return (packet[6] & 0x40) == 0; }

/// Cuts an IPv4 packet (checked, may_fragment) into fragments of at most `mtu` bytes. `emit(header, header_length,
/// data, data_length)`, one call for each.
template <typename Emit>
void fragment_ipv4(const uint8_t* packet, uint32_t length, uint32_t mtu, Emit emit) noexcept;

}  // namespace td

#include "ip_fragment.h"
