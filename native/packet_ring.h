// AF_PACKET: one TPACKET_V3 receive ring and one send socket per device, all rings and a scratch area in one stretch of
// memory. A turn rewrites and sends the last batch, gives its blocks back, and receives the next.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fanout.h"
#include "host_sender.h"
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

/// Throws SystemError when this thread may not have a packet socket with rings: EPERM without CAP_NET_RAW.
void probe_packet_socket();

struct RingDeviceOptions {
  std::string name;
  FanoutRole role = FanoutRole::kOutside;
};

/// Blocks are small and many: the kernel closes one after a millisecond however little it holds, so their number is
/// how many milliseconds a shard may be away (a garbage collection, its mailbox) before frames are lost.
constexpr uint32_t kBlockLength = 1U << 16;
constexpr uint32_t kBlockCount = 128;
constexpr uint32_t kSpinMicros = 20;
constexpr std::size_t kDeviceLimit = 8;

struct RingOptions {
  std::vector<RingDeviceOptions> devices;
  std::vector<PortView> ports;
  int fanout_group = -1;
  uint32_t shards = 1;
  uint32_t block_length = kBlockLength;  // bytes, a multiple of 4096; longer frames are cut off
  uint32_t block_count = kBlockCount;
  uint32_t spin_micros = kSpinMicros;
  int wake_fd = -1;
};

class PacketRing {
 public:
  /// Throws SystemError: EPERM without CAP_NET_RAW, ENODEV without the interface. A ring of `block_length *
  /// block_count` for each device must stay below 2 GiB together, because columns hold 32-bit offsets.
  explicit PacketRing(const RingOptions& options);
  ~PacketRing() { close(); }
  PacketRing(const PacketRing&) = delete;
  PacketRing& operator=(const PacketRing&) = delete;

  [[nodiscard]] const std::shared_ptr<RingMemory>& memory() const noexcept { return memory_; }
  [[nodiscard]] std::size_t scratch_offset() const noexcept { return scratch_offset_; }
  [[nodiscard]] bool closed() const noexcept { return devices_.empty(); }
  /// To be called once before any turn.
  void bind(const TableView& table, const Columns& columns, const Counters& counters, double* clock) noexcept;
  void rewrite(uint32_t received, uint32_t scratch) noexcept;
  /// Sends the last batch by its verdicts, then receives; returns the number of frames. Waits at most `wait_ms`. A link
  /// that is down costs the frames sent to it and nothing else; a device that is gone is SystemError ENODEV, thrown
  /// after everything else of the turn has been done.
  uint32_t turn(uint32_t received, uint32_t scratch, uint32_t wait_ms);
  /// The kernel's counts since the rings were opened, renewed.
  void pull_statistics() noexcept;
  [[nodiscard]] uint64_t frames_seen() const noexcept { return seen_; }
  [[nodiscard]] uint64_t frames_lost() const noexcept { return lost_; }
  /// Closes the sockets; the memory stays readable. A second call does nothing.
  void close() noexcept;

 private:
  struct Device {
    std::string name;
    unsigned interface = 0;
    UniqueFd receive, send;
    uint8_t* ring = nullptr;
    uint32_t block = 0;           // the block being read, or to be read next
    uint32_t left = 0;            // frames not taken from it yet
    const uint8_t* at = nullptr;  // the next frame's header
    uint32_t finished = 0;        // blocks before `block` whose frames have all been taken, still ours
    bool failed = false;          // something hints that the device has gone
  };
  /// The messages of one device's next send call.
  struct Outbox {
    std::vector<mmsghdr> messages;
    std::vector<iovec> parts;
    uint32_t count = 0;
  };

  void open_device(const RingDeviceOptions& device, std::size_t index, const RingOptions& options);
  uint32_t receive() noexcept;
  uint32_t receive_from(Device& device, uint8_t index, uint32_t from, uint32_t room) noexcept;
  [[nodiscard]] uint8_t port_of(uint8_t device, uint32_t status, uint32_t tci, uint32_t tpid) const noexcept;
  void send(uint32_t received, uint32_t scratch) noexcept;
  void collect(uint32_t first, uint32_t count) noexcept;
  void flush(std::size_t device) noexcept;
  void release_blocks() noexcept;
  void wait(uint32_t wait_ms) noexcept;
  void check_devices();

  std::shared_ptr<RingMemory> memory_;
  std::size_t scratch_offset_ = 0;
  uint32_t block_length_, block_count_, spin_micros_;
  int wake_fd_;
  std::vector<Device> devices_;
  std::vector<PortView> ports_;
  std::vector<Outbox> outboxes_;
  HostSender host_;
  std::vector<uint8_t> tags_;  // 4 bytes per port: the VLAN tag that goes into frames
  TableView table_;
  Columns columns_;
  Counters counters_;
  double* clock_ = nullptr;
  uint8_t first_device_ = 0;
  uint64_t seen_ = 0, lost_ = 0;
  double checked_at_ = 0;
};

}  // namespace td
