// A packet socket for the protocol frames of a gateway group: ARP, neighbour discovery, messages between members. Reads
// and sends by the batch, knows when the kernel got each frame. Knows nothing of Node.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "unique_fd.h"

namespace td {

constexpr uint32_t kLanBatch = 64;

struct LanSocketOptions {
  std::string device;
  /// Four words for each shared address.
  std::span<const uint32_t> addresses;
  /// Six bytes for each Ethernet group that is to be received.
  std::span<const uint8_t> groups;
  /// UDP to this port is received as well; 0 none.
  uint16_t udp_port = 0;
  /// SO_MARK of what is sent; 0 none.
  uint32_t mark = 0;
  /// Bytes of a frame's place in both memories.
  uint32_t slot_length = 0;
  std::span<uint8_t> received, outgoing;  // kLanBatch places each
};

struct LanCounts {
  uint64_t received = 0, dropped = 0, truncated = 0, sent = 0, refused = 0;
};

class LanSocket {
 public:
  LanSocket() = default;
  /// Throws SystemError: EPERM without CAP_NET_RAW, ENODEV no such device.
  explicit LanSocket(const LanSocketOptions& options);

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  /// Reads what is there, one batch at most; returns how many frames. Frame i lies in place `columns[2 i]`, is
  /// `columns[2 i + 1]` bytes long and arrived at `times[i]` (CLOCK_MONOTONIC, seconds); `times[kLanBatch]` is now.
  uint32_t receive(std::span<int32_t> columns, std::span<double> times) noexcept;
  /// Sends the first frames of the outgoing memory, in order; returns how many left. The rest is counted.
  uint32_t send(std::span<const int32_t> lengths) noexcept;
  /// 0, or errno.
  int set_addresses(std::span<const uint32_t> words) noexcept;
  /// The device takes what is sent to this station address, or does no more. 0, or errno.
  int set_station(const uint8_t* mac, bool taken) noexcept;
  LanCounts counts() noexcept;
  void close() noexcept { fd_.reset(); }

 private:
  struct Control {
    alignas(8) std::array<uint8_t, 64> bytes;
  };

  UniqueFd fd_;
  int interface_ = 0;
  uint16_t udp_port_ = 0;
  uint32_t slot_length_ = 0;
  std::span<uint8_t> received_, outgoing_;
  std::vector<mmsghdr> inbound_, outbound_;
  std::vector<iovec> inbound_parts_, outbound_parts_;
  std::vector<Control> controls_;
  LanCounts counts_;
  /// Nothing that is read now was there then.
  double empty_at_ = 0;
};

}  // namespace td
