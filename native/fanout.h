// Steers an AF_PACKET fan-out group: which member gets a packet.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <vector>

namespace td {

/// On which side of the appliance the group's device is; kBoth with one arm.
enum class FanoutRole : uint8_t { kOutside, kInside, kBoth };

/// A classic BPF program for PACKET_FANOUT_CBPF. It returns ownerSlot(client address) mod `shards` (src/flow/hash.ts);
/// the client is the source outside and the destination inside, and with one arm, where nothing tells the directions
/// apart, the source stands in for it. L2TPv2 data messages mix tunnel and session id in, so that one fat client
/// spreads over all members while a session stays with one; fragments and everything else go by address alone. What is
/// not IP goes to member 0.
///
/// The kernel takes the result modulo the number of members and counts these in the order of their joining, so control
/// messages arrive at their owner when the shards have joined in order. That only saves work: a shard that is not the
/// owner hands them over.
///
/// Loads are relative to the network header, so neither VLAN tags nor where skb->data points matter.
std::vector<sock_filter> fanout_program(FanoutRole role, uint32_t shards);

}  // namespace td
