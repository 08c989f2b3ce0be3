// A shard's share of the AF_XDP sockets: receives from its socket of every queue, sends out of its socket of one queue
// of each device. To its user the same as a PacketRing.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "xsk_set.h"

namespace td {

struct XskRingOptions {
  uint32_t shard = 0;
  std::vector<PortView> ports;
  uint32_t spin_micros = kSpinMicros;
  int wake_fd = -1;
};

/// Takes an IEEE 802.1Q tag out of the frame by moving the addresses; `offset` and `length` follow. Returns the VLAN, 0
/// for an untagged frame, -1 for a tag of another kind. A frame that is too short is left alone.
int take_tag(uint8_t* memory, int32_t* offset, int32_t* length) noexcept;
/// Puts a tag in; the four bytes in front of the frame are written.
void put_tag(uint8_t* memory, std::size_t* offset, std::size_t* length, uint16_t vlan) noexcept;

class XskRing {
 public:
  XskRing(std::shared_ptr<XskSet> set, const XskRingOptions& options);
  ~XskRing() { close(); }
  XskRing(const XskRing&) = delete;
  XskRing& operator=(const XskRing&) = delete;

  [[nodiscard]] const std::shared_ptr<RingMemory>& memory() const noexcept { return memory_; }
  [[nodiscard]] std::size_t scratch_offset() const noexcept { return scratch_offset_; }
  [[nodiscard]] bool closed() const noexcept { return set_ == nullptr; }
  /// To be called once before any turn.
  void bind(const TableView& table, const Columns& columns, const Counters& counters, double* clock) noexcept;
  void rewrite(uint32_t received, uint32_t scratch) noexcept;
  /// As PacketRing::turn.
  uint32_t turn(uint32_t received, uint32_t scratch, uint32_t wait_ms);
  void pull_statistics() noexcept;
  [[nodiscard]] uint64_t frames_seen() const noexcept { return seen_; }
  [[nodiscard]] uint64_t frames_lost() const noexcept { return lost_; }
  /// Gives back what is held and lets go of the set. A second call does nothing.
  void close() noexcept;

 private:
  uint32_t receive() noexcept;
  uint32_t receive_from(XskSet::Lane& lane, uint32_t from, uint32_t room) noexcept;
  void note_frame(XskSet::Lane& lane, uint32_t i, const xdp_desc& descriptor) noexcept;
  void send(uint32_t received, uint32_t scratch) noexcept;
  void send_one(uint32_t i, bool scratch) noexcept;
  bool enqueue(uint32_t device, uint32_t frame, std::size_t offset, std::size_t length) noexcept;
  void kick(uint32_t device) noexcept;
  void settle() noexcept;
  void refill(XskSet::Lane& lane) noexcept;
  void drain(XskSet::Lane& lane) noexcept;
  void wait(uint32_t wait_ms) noexcept;
  void check_devices();
  [[nodiscard]] XskSet::Lane& way_out(uint32_t device) noexcept;
  [[nodiscard]] uint32_t frame_at(std::size_t offset) const noexcept { return static_cast<uint32_t>(offset / chunk_); }

  std::shared_ptr<XskSet> set_;
  std::shared_ptr<RingMemory> memory_;
  std::size_t scratch_offset_;
  uint32_t shard_, chunk_, spin_micros_;
  uint8_t owner_;
  int wake_fd_;
  std::vector<PortView> ports_;
  TableView table_;
  Columns columns_;
  Counters counters_;
  double* clock_ = nullptr;
  /// Frames of the present batch that have not been sent.
  std::vector<uint32_t> held_;
  std::vector<uint32_t> released_;
  std::vector<uint32_t> queued_;  // by device: descriptors that no system call has followed yet
  std::vector<uint8_t> failed_;   // by device: something hints that it has gone
  std::vector<uint64_t> lost_by_socket_;
  uint32_t first_lane_ = 0;
  uint64_t seen_ = 0, lost_ = 0;
  double checked_at_ = 0;
};

}  // namespace td
