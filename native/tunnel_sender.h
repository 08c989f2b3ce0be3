// What the main thread of an LNS or a LAC sends: L2TP messages, PPP frames into tunnels and to customers, Ethernet
// frames.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "access_outbox.h"
#include "session_table.h"
#include "udp_outbox.h"

namespace td {

class TunnelSender {
 public:
  TunnelSender(const PlaneView& view, std::vector<AccessLine> lines);

  /// Rows of TD_SEND_ROW_WORDS words; their bytes lie in `bytes`. Returns how many were sent.
  uint32_t send(std::span<const int32_t> rows, uint32_t count, std::span<const uint8_t> bytes);
  /// What was not sent, since the beginning.
  [[nodiscard]] uint64_t failed() const noexcept { return failed_; }

 private:
  bool ppp(uint32_t slot, std::span<const uint8_t> frame);
  bool access_ppp(uint32_t slot, std::span<const uint8_t> frame);
  bool frame(uint32_t line, std::span<const uint8_t> bytes);
  bool datagram(const uint32_t* row, std::span<const uint8_t> bytes);
  void flush();
  [[nodiscard]] int socket(uint32_t index) const noexcept;

  PlaneView view_;
  std::vector<AccessLine> lines_;
  UdpOutbox outbox_;
  std::vector<uint8_t> scratch_;  // PPP frames with room before them, until the outbox is flushed
  std::size_t scratch_used_ = 0;
  uint64_t sent_ = 0, failed_ = 0;
};

}  // namespace td
