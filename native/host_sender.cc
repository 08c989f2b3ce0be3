#include "host_sender.h"

#include <cerrno>
#include <cstring>
#include <new>

#include "checksum.h"

namespace td {
namespace {

constexpr std::size_t kEthernetLength = 14;
constexpr std::size_t kIpv4Length = 20;
constexpr std::size_t kIpv6Length = 40;

}  // namespace

bool HostSender::add(std::span<uint8_t> frame) noexcept {
  if (frame.size() < kEthernetLength + kIpv4Length) return false;
  uint8_t* ip = frame.data() + kEthernetLength;
  const std::size_t room = frame.size() - kEthernetLength;
  const bool v6 = (ip[0] >> 4) == 6;
  if (v6 ? room < kIpv6Length : (ip[0] >> 4) != 4) return false;
  const std::size_t length = v6 ? kIpv6Length + load16(ip + 4) : load16(ip + 2);
  if (length > room) return false;
  std::unique_ptr<Family>& side = v6 ? ipv6_ : ipv4_;
  if (side == nullptr) side.reset(new (std::nothrow) Family);
  if (side == nullptr || side->count == TD_COLUMN_LENGTH) return false;
  const uint32_t at = side->count++;
  sockaddr_in6& place = side->places[at];
  place = {};
  std::size_t place_length = sizeof place;
  if (v6) {
    place.sin6_family = AF_INET6;
    std::memcpy(&place.sin6_addr, ip + 24, sizeof place.sin6_addr);
  } else {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&place);
    v4->sin_family = AF_INET;
    std::memcpy(&v4->sin_addr, ip + 16, sizeof v4->sin_addr);
    place_length = sizeof *v4;
  }
  side->parts[at] = {ip, length};
  msghdr& header = side->messages[at].msg_hdr;
  header = {};
  header.msg_name = &place;
  header.msg_namelen = static_cast<socklen_t>(place_length);
  header.msg_iov = &side->parts[at];
  header.msg_iovlen = 1;
  return true;
}

void HostSender::flush(int family, Family& side, const Counters& counters) noexcept {
  if (!side.tried) {
    side.tried = true;
    // IPPROTO_RAW: the IP header is ours, as it is for IPv6 too (raw(7), ipv6(7)).
    side.socket = UniqueFd(socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW));
  }
  uint32_t sent = 0;
  uint64_t bytes = 0;
  for (uint32_t at = 0; at < side.count && side.socket.get() >= 0;) {
    const int done = sendmmsg(side.socket.get(), &side.messages[at], side.count - at, MSG_DONTWAIT);
    if (done <= 0) {
      at++;  // this one the host does not take; the next is another packet
      continue;
    }
    for (const uint32_t end = at + static_cast<uint32_t>(done); at < end; at++) bytes += side.messages[at].msg_len;
    sent += static_cast<uint32_t>(done);
  }
  counters.statistics[counters.frames_sent] += sent;
  counters.statistics[counters.bytes_sent] += static_cast<double>(bytes);
  counters.statistics[counters.send_failed] += side.count - sent;
  side.count = 0;
}

void HostSender::flush(const Counters& counters) noexcept {
  if (ipv4_ != nullptr && ipv4_->count > 0) flush(AF_INET, *ipv4_, counters);
  if (ipv6_ != nullptr && ipv6_->count > 0) flush(AF_INET6, *ipv6_, counters);
}

}  // namespace td
