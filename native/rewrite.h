// Rewrites frames by connection-table entries: addresses, ports, channel, TTL, MACs, checksums. Plain C++: knows
// nothing of Node, is unit-tested and fuzzed alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "layout.h"

namespace td {

enum class RewriteResult : uint8_t {
  kRewritten,
  kEntryChanged,         // removed, denied or changed by its owner since the verdict was found
  kTtlExpired,           // TTL or hop limit would become 0
  kNeighbourUnresolved,  // the next hop has no MAC address (yet)
  kFailed,               // the entry does not fit the frame, or an index is out of range
};

/// The shared memory's segments as this thread has mapped them. Words are read and written as 32-bit atomics.
struct TableView {
  uint32_t* entries = nullptr;
  uint32_t slot_count = 0;
  const uint32_t* records = nullptr;
  uint32_t record_count = 0;
  const uint32_t* addresses = nullptr;  // TD_ADDRESS_LIMIT items
  const uint32_t* next_hops = nullptr;  // TD_NEXT_HOP_LIMIT items
  const uint32_t* xdp = nullptr;        // TD_XDP_WORDS words, or null: there is no gateway group
};

/// One side: its source MAC, its VLAN (0 untagged) and the device that it leaves by.
struct PortView {
  uint8_t mac[6] = {};
  uint16_t vlan = 0;
  uint8_t device = 0;
};

struct RewriteContext {
  TableView table;
  const PortView* ports = nullptr;
  uint32_t port_count = 0;
  uint32_t now_seconds = 0;
};

/// Rewrites `frame` (Ethernet header first, no VLAN tag) by entry `slot`. Everything that can fail is looked at before
/// the first byte changes: unless the answer is kRewritten, frame and table are as they were. On success `egress` is
/// the index of the port that the frame leaves by, and the entry's counters and last-seen are renewed.
RewriteResult rewrite(const RewriteContext& context, std::span<uint8_t> frame, uint32_t slot, bool partial_checksum,
                      uint8_t* egress) noexcept;

/// Slots of a shard's statistics that native code adds to (src/io/native.ts, NativeCounters).
struct Counters {
  double* statistics = nullptr;
  uint32_t entry_changed = 0, ttl_expired = 0, neighbour_unresolved = 0, rewrite_failed = 0;
  uint32_t send_failed = 0, receive_ring = 0;
  uint32_t frames_received = 0, frames_sent = 0, bytes_sent = 0;
};

/// The batch columns of src/io/port.ts, TD_COLUMN_LENGTH items each.
struct Columns {
  int32_t* offset = nullptr;
  int32_t* length = nullptr;
  uint8_t* ingress = nullptr;
  uint8_t* egress = nullptr;
  uint8_t* flags = nullptr;
  int32_t* verdict = nullptr;
};

/// Rewrites columns [first, first + count) with verdicts ≥ 0: those become TD_VERDICT_RAW with `egress` set, or
/// TD_VERDICT_DROP, counted. Columns from TD_COLUMN_LENGTH on are not looked at; a frame that does not lie within
/// `frames` is dropped as kFailed.
void rewrite_batch(const RewriteContext& context, std::span<uint8_t> frames, const Columns& columns,
                   const Counters& counters, uint32_t first, uint32_t count) noexcept;

}  // namespace td
