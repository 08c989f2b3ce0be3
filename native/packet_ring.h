// AF_PACKET: one TPACKET_V3 receive ring and one send socket per device, all rings and a scratch area in one stretch of
// memory. A turn rewrites and sends the last batch, gives its blocks back, and receives the next.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "rewrite.h"
#include "unique_fd.h"

namespace td {

/// A system call that failed: what it was, and errno.
struct SystemError {
  std::string what;
  int error;
};

/// The rings' address space. Outlives the sockets, because JavaScript holds an ArrayBuffer over it.
class RingMemory {
 public:
  explicit RingMemory(std::size_t length);
  ~RingMemory();
  RingMemory(const RingMemory&) = delete;
  RingMemory& operator=(const RingMemory&) = delete;
  [[nodiscard]] std::span<uint8_t> bytes() const noexcept { return {base_, length_}; }
  /// Puts ordinary memory where the rings were, so that a late reader meets zeroes and not a fault.
  void detach() noexcept;

 private:
  uint8_t* base_;
  std::size_t length_;
};

struct RingDeviceOptions {
  std::string name;
  int role = 0;  // 0 outside, 1 inside, 2 both
};

struct RingOptions {
  std::vector<RingDeviceOptions> devices;
  std::vector<PortView> ports;
  int fanout_group = -1;
  uint32_t shards = 1;
  uint32_t block_length = 1U << 18;
  uint32_t block_count = 32;
  uint32_t spin_micros = 20;
  int wake_fd = -1;
};

class PacketRing {
 public:
  /// Throws SystemError.
  explicit PacketRing(const RingOptions& options);
  ~PacketRing() { close(); }
  PacketRing(const PacketRing&) = delete;
  PacketRing& operator=(const PacketRing&) = delete;

  [[nodiscard]] const std::shared_ptr<RingMemory>& memory() const noexcept { return memory_; }
  [[nodiscard]] std::size_t scratch_offset() const noexcept { return scratch_offset_; }
  void bind(const TableView& table, const Columns& columns, const Counters& counters, double* clock) noexcept;
  void rewrite(uint32_t received, uint32_t scratch) noexcept;
  /// Frames received. Throws SystemError when a device has gone.
  uint32_t turn(uint32_t received, uint32_t scratch, uint32_t wait_ms);
  [[nodiscard]] uint64_t frames_seen() const noexcept { return seen_; }
  [[nodiscard]] uint64_t frames_lost() const noexcept { return lost_; }
  void close() noexcept;

 private:
  struct Device {
    std::string name;
    UniqueFd receive, send;
    uint8_t* ring = nullptr;
    uint32_t block = 0;          // the block being read, or to be read next
    uint32_t left = 0;           // frames not taken from it yet
    const uint8_t* at = nullptr;  // the next frame's header
  };

  void open_device(const RingDeviceOptions& device, std::size_t index, const RingOptions& options);
  uint32_t receive(uint32_t room);
  uint32_t receive_from(Device& device, uint8_t index, uint32_t from, uint32_t room);
  void send(uint32_t received, uint32_t scratch) noexcept;
  void collect(uint32_t first, uint32_t count) noexcept;
  void flush(std::size_t device) noexcept;
  void release_blocks() noexcept;
  void read_clock() noexcept;
  void pull_statistics() noexcept;
  void wait(uint32_t wait_ms);

  std::shared_ptr<RingMemory> memory_;
  std::size_t scratch_offset_ = 0;
  uint32_t block_length_, block_count_, spin_micros_;
  int wake_fd_;
  std::vector<Device> devices_;
  std::vector<PortView> ports_;
  std::vector<uint8_t*> finished_;  // blocks whose frames have all been taken
  TableView table_;
  Columns columns_;
  Counters counters_;
  double* clock_ = nullptr;
  uint8_t first_device_ = 0;
  uint64_t seen_ = 0, lost_ = 0;
  double statistics_at_ = 0;
  // Per device: the messages of a send call.
  struct Outbox {
    std::vector<mmsghdr> messages;
    std::vector<iovec> parts;
    uint32_t count = 0;
  };
  std::vector<Outbox> outboxes_;
  std::vector<uint8_t> tags_;  // 4 bytes per port: the VLAN tag that goes into frames
};

}  // namespace td
