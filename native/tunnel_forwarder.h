// One worker of an LNS's or a LAC's data path: UDP sockets ⇄ TUN queue or PPPoE sockets, by the session table.
#pragma once

#include <poll.h>

#include <cstdint>
#include <vector>

#include "access_outbox.h"
#include "hold_buffer.h"
#include "punt_ring.h"
#include "session_table.h"
#include "tunnel_codec.h"
#include "udp_outbox.h"

namespace td {

struct TunnelForwarderOptions {
  uint32_t worker = 0;
  int tun_fd = -1;
  std::vector<AccessLine> lines;
  int wake_fd = -1;
  int punt_fd = -1;
};

/// What a session's data messages look like now; takes the next sequence number where there is one.
L2tpForm form_of(const Call& call, uint32_t* live, uint16_t protocol) noexcept;

class TunnelForwarder {
 public:
  TunnelForwarder(const PlaneView& view, TunnelForwarderOptions options);

  /// Forwards what there is, for kTurnMilliseconds at most; waits up to `wait_ms` when there is nothing. Returns how
  /// many packets were taken. Throws SystemError when the TUN device or an access line has gone.
  uint32_t turn(uint32_t wait_ms);
  [[nodiscard]] const HoldBuffer& held() const noexcept { return hold_; }

 private:
  struct From {
    uint32_t socket;  // index << 16 | the peer's port
    uint32_t peer[4];
  };

  /// What a descriptor is that is waited for.
  enum class Kind : uint8_t { kSocket, kTun, kSession, kDiscovery, kWake };
  struct Source {
    Kind kind;
    uint32_t index;
    bool ready;
  };

  void refresh_sockets();
  void read_clock() noexcept;
  void watch(int fd, Source source);
  /// Marks what is ready; waits for it when nothing is known to be. Returns how many are.
  uint32_t look(uint32_t wait_ms) noexcept;
  uint32_t read_ready();
  // Each reads a batch, and takes the mark away when there was less than that.
  uint32_t read_socket(uint32_t index, bool& more);
  uint32_t read_tun(bool& more);
  uint32_t read_access(uint32_t index, int fd, bool& more);
  void prepare_datagram(uint32_t i) noexcept;
  void flush() noexcept;
  void flush_access() noexcept;
  void flush_held();
  void release(uint32_t slot, HoldBuffer::Queue& queue);

  // From a tunnel.
  void datagram(const From& from, uint8_t* bytes, uint32_t length);
  bool in_sequence(const Call& call, uint32_t slot, const L2tpData& data) noexcept;
  void ipv4_in(uint32_t slot, const Call& call, uint8_t* packet, uint32_t length);
  void ipv6_in(uint32_t slot, const Call& call, const From& from, uint8_t* packet, uint32_t length);
  void to_tun(uint32_t slot, const uint8_t* packet, uint32_t length);
  void to_access(uint32_t slot, const Call& call, const PppFrame& frame);

  // Into a tunnel.
  void tun_packet(uint8_t* packet, uint32_t length);
  void access_frame(uint32_t line, uint8_t* frame, uint32_t length);
  /// `frame` begins with its protocol and has kEncapsulationLimit bytes of room before it; `packet`: what is counted.
  void to_tunnel(uint32_t slot, const Call& call, uint8_t* frame, uint32_t length, uint32_t counted);
  void send(uint32_t slot, const Call& call, uint8_t* frame, uint32_t length, uint32_t counted);
  /// True when the packet was taken care of: told to its sender, or sent in fragments.
  void too_big(uint32_t slot, const Call& call, uint8_t* packet, uint32_t length);

  void drop(uint32_t statistic) noexcept { statistics_[statistic]++; }
  void drop(uint32_t statistic, uint32_t slot, uint32_t count) noexcept {
    statistics_[statistic]++;
    view_.counts(options_.worker, slot).one(count);
  }
  void punt(const PuntRecord& record, uint32_t limit) noexcept;
  void punt_ppp(uint32_t kind, uint32_t slot, const From* from, const PppFrame& frame) noexcept;
  [[nodiscard]] HoldLimits limits() const noexcept;

  PlaneView view_;
  TunnelForwarderOptions options_;
  PuntRing ring_;
  UdpOutbox outbox_;
  AccessOutbox access_outbox_;
  HoldBuffer hold_;
  uint64_t* statistics_;
  int sockets_[TD_PLANE_SOCKET_LIMIT];
  uint32_t socket_generation_ = 0, hold_generation_ = 0;
  bool sockets_known_ = false, punted_ = false, failed_ = false;
  uint32_t seconds_ = 0;
  uint64_t milliseconds_ = 0, held_looked_ = 0;
  std::vector<uint8_t> udp_buffers_, tun_buffers_, access_buffers_;
  std::vector<mmsghdr> messages_, frame_messages_;
  std::vector<iovec> vectors_, frame_vectors_;
  std::vector<SocketAddress> peers_;
  std::vector<std::array<uint64_t, 8>> controls_;
  std::vector<pollfd> polls_;
  std::vector<Source> sources_;  // of polls_, one each
};

}  // namespace td
