#include "tunnel_forwarder.h"

#include <netinet/udp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "packet_ring.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

namespace td {
namespace {

constexpr uint32_t kDatagrams = 32;
/// The longest that a datagram, or several in one (UDP_GRO), can be; not a multiple of a page, for the cache's sake.
constexpr uint32_t kDatagramRoom = 65536 + 192;
constexpr uint32_t kTunPackets = 128;
constexpr uint32_t kPacketRoom = 9280;  // TUN's MTU is at most 9216
constexpr uint32_t kHeadroom = 64;
constexpr uint32_t kFrames = 64;
constexpr uint32_t kFrameRoom = 2112;
constexpr uint32_t kOutbox = 256;
constexpr uint32_t kRounds = 4;  // receive calls on one socket before the others have their turn
constexpr uint64_t kTurnMilliseconds = 20;
constexpr uint64_t kHeldMilliseconds = 5;
constexpr uint32_t kPuntLimit = TD_PUNT_RING_LENGTH - 4096;

}  // namespace

TunnelForwarder::TunnelForwarder(const PlaneView& view, TunnelForwarderOptions options)
    : view_(view),
      options_(std::move(options)),
      ring_(view.ring(options_.worker)),
      outbox_(kOutbox, true),
      access_outbox_(kOutbox),
      statistics_(view.statistics(options_.worker)),
      udp_buffers_(std::size_t{kDatagrams} * kDatagramRoom + kHeadroom),
      tun_buffers_(options_.tun_fd < 0 ? 0 : std::size_t{kTunPackets} * kPacketRoom),
      access_buffers_(options_.lines.empty() ? 0 : std::size_t{kFrames} * kFrameRoom),
      messages_(kFrames),
      vectors_(kFrames),
      peers_(kFrames),
      controls_(kFrames) {
  for (int& fd : sockets_) fd = -1;
}

void TunnelForwarder::read_clock() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  seconds_ = static_cast<uint32_t>(now.tv_sec);
  milliseconds_ = static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

void TunnelForwarder::refresh_sockets() {
  const uint32_t generation = view_.header(TD_PLANE_SOCKET_GENERATION);
  if (sockets_known_ && generation == socket_generation_) return;
  sockets_known_ = true;
  socket_generation_ = generation;
  open_.clear();
  polls_.clear();
  for (uint32_t i = 0; i < TD_PLANE_SOCKET_LIMIT; i++) {
    const uint32_t* socket = view_.socket(i);
    const bool is_open = __atomic_load_n(socket + TD_SOCKET_OPEN, __ATOMIC_ACQUIRE) == 1;
    sockets_[i] = is_open ? static_cast<int>(socket[TD_SOCKET_DESCRIPTORS + options_.worker]) : -1;
    if (!is_open) continue;
    open_.push_back(i);
    polls_.push_back({sockets_[i], POLLIN, 0});
  }
  if (options_.tun_fd >= 0) polls_.push_back({options_.tun_fd, POLLIN, 0});
  for (const AccessLine& line : options_.lines) {
    polls_.push_back({line.session_fd, POLLIN, 0});
    if (line.discovery_fd >= 0) polls_.push_back({line.discovery_fd, POLLIN, 0});
  }
  if (options_.wake_fd >= 0) polls_.push_back({options_.wake_fd, POLLIN, 0});
}

HoldLimits TunnelForwarder::limits() const noexcept {
  return {view_.header(TD_PLANE_HOLD_BYTES_PER_SESSION), view_.header(TD_PLANE_HOLD_BYTES),
          view_.header(TD_PLANE_HOLD_MILLISECONDS)};
}

uint32_t TunnelForwarder::turn(uint32_t wait_ms) {
  read_clock();
  const uint64_t until = milliseconds_ + kTurnMilliseconds;
  uint32_t total = 0;
  for (;;) {
    refresh_sockets();
    uint32_t taken = read_udp() + read_tun();
    for (uint32_t i = 0; i < options_.lines.size(); i++) taken += read_access(i);
    flush_held();
    if (punted_) {
      const uint64_t one = 1;
      // A full counter means that the reader has not looked yet.
      if (write(options_.punt_fd, &one, sizeof one) < 0 && errno != EAGAIN) failed_ = true;
      punted_ = false;
    }
    total += taken;
    if (taken == 0) break;
    read_clock();
    if (milliseconds_ >= until) break;
  }
  statistics_[TD_STATISTIC_TURNS]++;
  if (failed_) throw SystemError{"the TUN device or an access line has gone", ENODEV};
  if (total == 0) wait(hold_.empty() ? wait_ms : std::min<uint32_t>(wait_ms, kHeldMilliseconds));
  return total;
}

void TunnelForwarder::wait(uint32_t wait_ms) noexcept {
  if (wait_ms == 0 || poll(polls_.data(), polls_.size(), static_cast<int>(wait_ms)) <= 0) return;
  if (options_.wake_fd >= 0 && polls_.back().revents != 0) {
    uint64_t count = 0;
    if (read(options_.wake_fd, &count, sizeof count) < 0) count = 0;  // somebody else has read it
  }
  for (const pollfd& poll : polls_) {
    // A socket's error is taken by its next receive; a TUN device that was removed says so for ever.
    if ((poll.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0 && poll.fd == options_.tun_fd) failed_ = true;
  }
}

uint32_t TunnelForwarder::read_udp() {
  uint32_t taken = 0;
  for (const uint32_t index : open_) taken += read_socket(index);
  return taken;
}

uint32_t TunnelForwarder::read_socket(uint32_t index) {
  uint32_t taken = 0;
  for (uint32_t round = 0; round < kRounds; round++) {
    for (uint32_t i = 0; i < kDatagrams; i++) {
      vectors_[i] = {udp_buffers_.data() + kHeadroom + std::size_t{i} * kDatagramRoom, kDatagramRoom - kHeadroom};
      msghdr& message = messages_[i].msg_hdr;
      message = {};
      message.msg_name = &peers_[i].any;
      message.msg_namelen = sizeof peers_[i].v6;
      message.msg_iov = &vectors_[i];
      message.msg_iovlen = 1;
      message.msg_control = controls_[i].data();
      message.msg_controllen = sizeof controls_[i];
    }
    const int count = recvmmsg(sockets_[index], messages_.data(), kDatagrams, MSG_DONTWAIT, nullptr);
    statistics_[TD_STATISTIC_RECEIVE_CALLS]++;
    if (count < 0) {
      if (errno != EAGAIN && errno != EINTR) drop(TD_STATISTIC_DROP_RECEIVE_ERROR);
      break;
    }
    for (uint32_t i = 0; i < static_cast<uint32_t>(count); i++) {
      msghdr& message = messages_[i].msg_hdr;
      From from{};
      from.socket = index << 16 | peers_[i].words(from.peer);
      if ((message.msg_flags & MSG_TRUNC) != 0) {
        drop(TD_STATISTIC_DROP_TRUNCATED);
        continue;
      }
      const uint32_t length = messages_[i].msg_len;
      uint32_t segment = length;
      for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = CMSG_NXTHDR(&message, control)) {
        if (control->cmsg_level != SOL_UDP || control->cmsg_type != UDP_GRO) continue;
        int size = 0;
        std::memcpy(&size, CMSG_DATA(control), sizeof size);
        if (size > 0) segment = static_cast<uint32_t>(size);
      }
      auto* bytes = static_cast<uint8_t*>(vectors_[i].iov_base);
      uint32_t at = 0;
      do {
        const uint32_t part = std::min(segment, length - at);
        datagram(from, bytes + at, part);
        at += part;
        taken++;
      } while (at < length);
    }
    flush_access();
    if (count < static_cast<int>(kDatagrams)) break;
  }
  statistics_[TD_STATISTIC_DATAGRAMS_IN] += taken;
  return taken;
}

uint32_t TunnelForwarder::read_tun() {
  if (options_.tun_fd < 0) return 0;
  uint32_t taken = 0;
  for (; taken < kTunPackets; taken++) {
    uint8_t* packet = tun_buffers_.data() + std::size_t{taken} * kPacketRoom + kHeadroom;
    const ssize_t length = read(options_.tun_fd, packet, kPacketRoom - kHeadroom);
    if (length <= 0) {
      if (length < 0 && errno == EBADFD) failed_ = true;  // the device was deleted
      break;
    }
    tun_packet(packet, static_cast<uint32_t>(length));
  }
  statistics_[TD_STATISTIC_PACKETS_FROM_TUN] += taken;
  if (taken > 0) flush();
  return taken;
}

uint32_t TunnelForwarder::read_access(uint32_t index) {
  const AccessLine& line = options_.lines[index];
  uint32_t taken = 0;
  for (const int fd : {line.session_fd, line.discovery_fd}) {
    if (fd < 0) continue;
    for (uint32_t i = 0; i < kFrames; i++) {
      vectors_[i] = {access_buffers_.data() + std::size_t{i} * kFrameRoom + kHeadroom, kFrameRoom - kHeadroom};
      messages_[i].msg_hdr = {};
      messages_[i].msg_hdr.msg_iov = &vectors_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
    const int count = recvmmsg(fd, messages_.data(), kFrames, MSG_DONTWAIT, nullptr);
    statistics_[TD_STATISTIC_RECEIVE_CALLS]++;
    if (count < 0) {
      if (errno == ENODEV || errno == ENXIO)
        failed_ = true;
      else if (errno != EAGAIN && errno != EINTR)
        drop(TD_STATISTIC_DROP_RECEIVE_ERROR);
      continue;
    }
    for (uint32_t i = 0; i < static_cast<uint32_t>(count); i++) {
      auto* frame = static_cast<uint8_t*>(vectors_[i].iov_base);
      const uint32_t length = messages_[i].msg_len;
      if (fd == line.session_fd) {
        access_frame(index, frame, length);
      } else {
        // A flood of discoveries must not take the room of other messages.
        punt({TD_PUNT_KIND_DISCOVERY, -1, index << 16, nullptr, nullptr, 0, frame, length}, kPuntLimit / 4);
      }
    }
    taken += static_cast<uint32_t>(count);
    flush();
  }
  statistics_[TD_STATISTIC_FRAMES_FROM_ACCESS] += taken;
  return taken;
}

void TunnelForwarder::flush() noexcept {
  if (outbox_.empty()) return;
  const UdpOutbox::Result result = outbox_.flush();
  statistics_[TD_STATISTIC_DATAGRAMS_OUT] += result.sent;
  statistics_[TD_STATISTIC_DROP_SEND_FAILED] += result.failed;
  statistics_[TD_STATISTIC_SEND_CALLS] += result.calls;
}

void TunnelForwarder::flush_access() noexcept {
  const AccessOutbox::Result result = access_outbox_.flush();
  statistics_[TD_STATISTIC_FRAMES_TO_ACCESS] += result.sent;
  statistics_[TD_STATISTIC_DROP_SEND_FAILED] += result.failed;
}

void TunnelForwarder::flush_held() {
  if (hold_.empty()) return;
  const uint32_t generation = view_.header(TD_PLANE_HOLD_GENERATION);
  if (generation == hold_generation_ && milliseconds_ - held_looked_ < kHeldMilliseconds) return;
  hold_generation_ = generation;
  held_looked_ = milliseconds_;
  hold_.each([&](uint32_t slot, HoldBuffer::Queue& queue) { release(slot, queue); });
}

/// Sends what waits when the session may send again; drops what has waited too long or whose session has gone.
void TunnelForwarder::release(uint32_t slot, HoldBuffer::Queue& queue) {
  Call call;
  const bool there = view_.read(slot, call) && call.words[TD_CALL_EPOCH] == queue.epoch;
  if (!there || call.state() == TD_CALL_STATE_CLOSED) {
    while (!queue.packets.empty()) {
      hold_.pop(queue);
      if (there)
        drop(TD_STATISTIC_DROP_HOLD_EXPIRED, slot, TD_COUNT_HOLD);
      else
        drop(TD_STATISTIC_DROP_HOLD_EXPIRED);
    }
    return;
  }
  for (uint64_t i = hold_.expire(queue, milliseconds_, limits()); i > 0; i--) {
    drop(TD_STATISTIC_DROP_HOLD_EXPIRED, slot, TD_COUNT_HOLD);
  }
  if (call.state() != TD_CALL_STATE_FORWARD || !call.has(TD_CALL_FLAG_TUNNEL)) return;
  uint8_t scratch[kPacketRoom + kEncapsulationLimit];
  while (!queue.packets.empty()) {
    const HoldBuffer::Packet& packet = queue.packets.front();
    uint8_t* frame = scratch + kEncapsulationLimit;
    std::memcpy(frame, packet.bytes.get(), packet.length);
    send(slot, call, frame, packet.length, packet.length);
    flush();  // the scratch is one packet's
    statistics_[TD_STATISTIC_FLUSHED]++;
    hold_.pop(queue);
  }
}

void TunnelForwarder::punt(const PuntRecord& record, uint32_t limit) noexcept {
  if (ring_.push(record, limit)) {
    punted_ = true;
    statistics_[TD_STATISTIC_PUNTED]++;
  } else {
    drop(TD_STATISTIC_DROP_PUNT_FULL);
  }
}

/// As its protocol in two bytes and what follows.
void TunnelForwarder::punt_ppp(uint32_t kind, uint32_t slot, const From* from, const PppFrame& frame) noexcept {
  uint8_t protocol[2];
  store16(protocol, frame.protocol);
  punt({kind, static_cast<int>(slot), from == nullptr ? 0 : from->socket, from == nullptr ? nullptr : from->peer,
        protocol, 2, frame.body, frame.length},
       kPuntLimit / 4 * 3);
}

}  // namespace td
