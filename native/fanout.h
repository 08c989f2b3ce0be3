// Steers an AF_PACKET fan-out group: which member gets a packet.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <vector>

namespace td {

enum class FanoutRole : uint8_t { kOutside, kInside };

/// A classic BPF program for PACKET_FANOUT_CBPF. It returns ownerSlot(client address) mod `shards` (src/flow/hash.ts), the
/// client being the source outside and the destination inside; L2TPv2 data messages mix tunnel and session id in, so that
/// one fat client spreads over all members while a session stays with one. What it cannot read goes to member 0. Loads are
/// relative to the network header, so VLAN tags and where skb->data points do not matter.
std::vector<sock_filter> fanout_program(FanoutRole role, uint32_t shards);

}  // namespace td
