#include "tunnel_sender.h"

#include <cstring>

#include "tunnel_codec.h"
#include "tunnel_forwarder.h"

namespace td {
namespace {

constexpr uint32_t kOutbox = 256;
constexpr std::size_t kScratch = 512 * 1024;

}  // namespace

TunnelSender::TunnelSender(const PlaneView& view, std::vector<AccessLine> lines)
    : view_(view), lines_(std::move(lines)), outbox_(kOutbox, true), scratch_(kScratch) {}

int TunnelSender::socket(uint32_t index) const noexcept {
  if (index >= TD_PLANE_SOCKET_LIMIT) return -1;
  const uint32_t* words = view_.socket(index);
  const bool open = __atomic_load_n(words + TD_SOCKET_OPEN, __ATOMIC_ACQUIRE) == 1;
  return open ? static_cast<int>(words[TD_SOCKET_DESCRIPTORS]) : -1;
}

void TunnelSender::flush() {
  const UdpOutbox::Result result = outbox_.flush();
  sent_ += result.sent;
  failed_ += result.failed;
  scratch_used_ = 0;
}

uint32_t TunnelSender::send(std::span<const int32_t> rows, uint32_t count, std::span<const uint8_t> bytes) {
  const uint64_t before = sent_;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t row[TD_SEND_ROW_WORDS];
    std::memcpy(row, rows.data() + std::size_t{i} * TD_SEND_ROW_WORDS, sizeof row);
    const std::size_t offset = row[TD_SEND_ROW_OFFSET];
    const std::size_t length = row[TD_SEND_ROW_LENGTH];
    bool done = false;
    if (offset <= bytes.size() && length <= bytes.size() - offset) {
      const auto part = bytes.subspan(offset, length);
      const uint32_t target = row[TD_SEND_ROW_TARGET];
      if (outbox_.full() || scratch_used_ + length + 2 * kEncapsulationLimit > kScratch) flush();
      switch (row[TD_SEND_ROW_KIND]) {
        case TD_SEND_KIND_DATAGRAM:
          done = datagram(row, part);
          break;
        case TD_SEND_KIND_PPP:
          done = ppp(target, part);
          break;
        case TD_SEND_KIND_ACCESS_PPP:
          done = access_ppp(target, part);
          break;
        case TD_SEND_KIND_FRAME:
          done = frame(target, part);
          break;
        default:
          break;
      }
    }
    if (!done) failed_++;
  }
  flush();
  return static_cast<uint32_t>(sent_ - before);
}

bool TunnelSender::datagram(const uint32_t* row, std::span<const uint8_t> bytes) {
  const int fd = socket(row[TD_SEND_ROW_TARGET] >> 16);
  if (fd < 0) return false;
  outbox_.add(fd, row + TD_SEND_ROW_ADDRESS, static_cast<uint16_t>(row[TD_SEND_ROW_TARGET]), bytes.data(),
              static_cast<uint32_t>(bytes.size()));
  return true;
}

bool TunnelSender::ppp(uint32_t slot, std::span<const uint8_t> bytes) {
  Call call;
  PppFrame parsed{};
  if (!view_.read(slot, call) || !call.has(TD_CALL_FLAG_TUNNEL)) return false;
  if (!parse_ppp(bytes.data(), static_cast<uint32_t>(bytes.size()), parsed)) return false;
  const int fd = socket(call.socket());
  if (fd < 0) return false;
  uint8_t* frame = scratch_.data() + scratch_used_ + kEncapsulationLimit;
  store16(frame, parsed.protocol);
  if (parsed.length != 0) std::memcpy(frame + 2, parsed.body, parsed.length);
  const uint32_t length = parsed.length + 2;
  scratch_used_ += kEncapsulationLimit + length;
  const L2tpForm form = form_of(call, view_.live(slot), parsed.protocol);
  const uint8_t* start = put_l2tp(frame, length, form);
  outbox_.add(fd, call.peer(), call.peer_port(), start, static_cast<uint32_t>(frame + length - start));
  return true;
}

bool TunnelSender::access_ppp(uint32_t slot, std::span<const uint8_t> bytes) {
  Call call;
  PppFrame parsed{};
  if (!view_.read(slot, call) || !call.has(TD_CALL_FLAG_ACCESS)) return false;
  if (!parse_ppp(bytes.data(), static_cast<uint32_t>(bytes.size()), parsed)) return false;
  const uint32_t line = call.words[TD_CALL_ACCESS] >> 16;
  if (line >= lines_.size()) return false;
  uint8_t mac[8];
  store32(mac, call.words[TD_CALL_MAC_HIGH]);
  store32(mac + 4, call.words[TD_CALL_MAC_LOW]);
  uint8_t* whole = scratch_.data() + scratch_used_;
  scratch_used_ += parsed.length + 2;
  store16(whole, parsed.protocol);
  if (parsed.length != 0) std::memcpy(whole + 2, parsed.body, parsed.length);
  AccessOutbox outbox(1);
  outbox.add(lines_[line], mac, static_cast<uint16_t>(call.words[TD_CALL_ACCESS]), whole, parsed.length + 2, 0);
  const auto result = outbox.flush();
  sent_ += result.sent;
  return result.sent == 1;
}

bool TunnelSender::frame(uint32_t line, std::span<const uint8_t> bytes) {
  if (line >= lines_.size() || bytes.size() < kEthernetLength) return false;
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = lines_[line].interface_index;
  to.sll_halen = 6;
  std::memcpy(to.sll_addr, bytes.data(), 6);
  const ssize_t sent = sendto(lines_[line].session_fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&to), sizeof to);
  if (sent >= 0) sent_++;
  return sent >= 0;
}

}  // namespace td
