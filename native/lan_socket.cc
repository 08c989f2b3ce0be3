#include "lan_socket.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "lan_filter.h"
#include "packet_ring.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

namespace td {
namespace {

constexpr int kReceiveBuffer = 8 << 20;
constexpr int kSendBuffer = 1 << 20;
/// Above what fills a queue: an advert that waits behind bulk traffic looks like a death (TC_PRIO_CONTROL).
constexpr int kPriority = 7;
constexpr int kSendWaitMs = 1;
constexpr std::size_t kMacLength = 6;

double seconds(const timespec& time) noexcept {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double clock_seconds(clockid_t clock) noexcept {
  timespec now{};
  clock_gettime(clock, &now);
  return seconds(now);
}

void set_option(int fd, int level, int name, const void* value, std::size_t length, const std::string& what) {
  if (setsockopt(fd, level, name, value, static_cast<socklen_t>(length)) != 0) throw SystemError{what, errno};
}

int attach(int fd, std::vector<sock_filter> program) noexcept {
  const sock_fprog order{static_cast<unsigned short>(program.size()), program.data()};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &order, sizeof order) == 0 ? 0 : errno;
}

int membership(int fd, int interface, int option, uint16_t kind, const uint8_t* mac) noexcept {
  packet_mreq request{};
  request.mr_ifindex = interface;
  request.mr_type = kind;
  request.mr_alen = kMacLength;
  std::memcpy(request.mr_address, mac, kMacLength);
  return setsockopt(fd, SOL_PACKET, option, &request, sizeof request) == 0 ? 0 : errno;
}

/// Kernel's stamp of the frame; a negative number when there is none.
double stamp_of(msghdr& header) noexcept {
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SO_TIMESTAMPNS) continue;
    timespec stamp{};
    std::memcpy(&stamp, CMSG_DATA(part), sizeof stamp);
    return seconds(stamp);
  }
  return -1;
}

}  // namespace

LanSocket::LanSocket(const LanSocketOptions& options)
    : udp_port_(options.udp_port),
      slot_length_(options.slot_length),
      received_(options.received),
      outgoing_(options.outgoing),
      inbound_(kLanBatch),
      outbound_(kLanBatch),
      inbound_parts_(kLanBatch),
      outbound_parts_(kLanBatch),
      controls_(kLanBatch) {
  const std::string& name = options.device;
  const unsigned index = if_nametoindex(name.c_str());
  if (index == 0) throw SystemError{"interface " + name, errno};
  interface_ = static_cast<int>(index);
  // Protocol 0: nothing arrives before the filter stands and bind says what should.
  fd_ = UniqueFd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int fd = fd_.get();
  if (fd < 0) throw SystemError{"socket(AF_PACKET) for " + name, errno};
  if (const int error = set_addresses(options.addresses); error != 0) throw SystemError{"filter on " + name, error};
  const int on = 1;
  set_option(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on, "PACKET_IGNORE_OUTGOING on " + name);
  set_option(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on, "SO_TIMESTAMPNS on " + name);
  if (options.mark != 0) {
    set_option(fd, SOL_SOCKET, SO_MARK, &options.mark, sizeof options.mark, "SO_MARK on " + name);
  }
  // Without CAP_NET_ADMIN these are less than they could be, and everything works.
  setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &kPriority, sizeof kPriority);
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer) != 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);
  }
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
  for (std::size_t at = 0; at + kMacLength <= options.groups.size(); at += kMacLength) {
    if (const int error = membership(fd, interface_, PACKET_ADD_MEMBERSHIP, PACKET_MR_MULTICAST, &options.groups[at]);
        error != 0) {
      throw SystemError{"Ethernet group on " + name, error};
    }
  }
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(index);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    throw SystemError{"bind of a packet socket to " + name, errno};
  }
  for (uint32_t i = 0; i < kLanBatch; i++) {
    inbound_parts_[i] = {received_.data() + std::size_t{i} * slot_length_, slot_length_};
    inbound_[i].msg_hdr.msg_iov = &inbound_parts_[i];
    inbound_[i].msg_hdr.msg_iovlen = 1;
    outbound_parts_[i].iov_base = outgoing_.data() + std::size_t{i} * slot_length_;
    outbound_[i].msg_hdr.msg_iov = &outbound_parts_[i];
    outbound_[i].msg_hdr.msg_iovlen = 1;
  }
  empty_at_ = clock_seconds(CLOCK_MONOTONIC);
}

uint32_t LanSocket::receive(std::span<int32_t> columns, std::span<double> times) noexcept {
  for (uint32_t i = 0; i < kLanBatch; i++) {
    inbound_[i].msg_hdr.msg_control = controls_[i].bytes.data();
    inbound_[i].msg_hdr.msg_controllen = controls_[i].bytes.size();
    inbound_[i].msg_hdr.msg_flags = 0;
  }
  const double before = clock_seconds(CLOCK_MONOTONIC);
  int count = recvmmsg(fd_.get(), inbound_.data(), kLanBatch, MSG_DONTWAIT, nullptr);
  // ENETDOWN is told once, instead of what is waiting.
  if (count < 0 && errno == ENETDOWN) count = recvmmsg(fd_.get(), inbound_.data(), kLanBatch, MSG_DONTWAIT, nullptr);
  const double now = clock_seconds(CLOCK_MONOTONIC);
  // Stamps are of the wall clock, which may jump; how old they are is only believed within what is possible.
  const double wall = clock_seconds(CLOCK_REALTIME);
  times[kLanBatch] = now;
  uint32_t kept = 0;
  for (int i = 0; i < count; i++) {
    mmsghdr& message = inbound_[static_cast<std::size_t>(i)];
    if ((message.msg_hdr.msg_flags & MSG_TRUNC) != 0) {
      counts_.truncated++;
      continue;
    }
    const double stamp = stamp_of(message.msg_hdr);
    columns[2 * kept] = i;
    columns[2 * kept + 1] = static_cast<int32_t>(message.msg_len);
    times[kept] = stamp < 0 ? now : std::clamp(now - (wall - stamp), empty_at_, now);
    kept++;
  }
  if (count < static_cast<int>(kLanBatch)) empty_at_ = before;
  counts_.received += kept;
  return kept;
}

uint32_t LanSocket::send(std::span<const int32_t> lengths) noexcept {
  const auto total = static_cast<uint32_t>(std::min<std::size_t>(lengths.size(), kLanBatch));
  for (uint32_t i = 0; i < total; i++) {
    outbound_parts_[i].iov_len = std::min(static_cast<uint32_t>(std::max(lengths[i], 0)), slot_length_);
  }
  uint32_t sent = 0;
  bool waited = false;
  for (uint32_t at = 0; at < total;) {
    const int count = sendmmsg(fd_.get(), &outbound_[at], total - at, MSG_DONTWAIT);
    if (count > 0) {
      at += static_cast<uint32_t>(count);
      sent += static_cast<uint32_t>(count);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN && !waited) {
      pollfd room{fd_.get(), POLLOUT, 0};
      waited = true;
      poll(&room, 1, kSendWaitMs);
      continue;
    }
    // The device takes none of them. Anything else is this frame's own trouble.
    if (errno == ENETDOWN || errno == ENXIO || errno == ENODEV || errno == EBADF || errno == EAGAIN) break;
    at++;
  }
  counts_.sent += sent;
  counts_.refused += total - sent;
  return sent;
}

int LanSocket::set_addresses(std::span<const uint32_t> words) noexcept {
  return attach(fd_.get(), lan_filter(words, udp_port_));
}

int LanSocket::set_station(const uint8_t* mac, bool taken) noexcept {
  const int option = taken ? PACKET_ADD_MEMBERSHIP : PACKET_DROP_MEMBERSHIP;
  return membership(fd_.get(), interface_, option, PACKET_MR_UNICAST, mac);
}

LanCounts LanSocket::counts() noexcept {
  tpacket_stats statistics{};
  socklen_t length = sizeof statistics;
  // Reading it sets it back to 0.
  if (getsockopt(fd_.get(), SOL_PACKET, PACKET_STATISTICS, &statistics, &length) == 0) {
    counts_.dropped += statistics.tp_drops;
  }
  return counts_;
}

}  // namespace td
